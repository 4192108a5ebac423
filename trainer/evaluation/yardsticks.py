"""Yardsticks: what trivial predictions, zero-shot CLIP and a linear probe reach on a run's test images.

Computed once per run, on the frozen features of its backbone, and stored in yardsticks.json.
Shape letters: n images, C labels, D feature width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.base import Split, client_indices
from trainer.data.batches import BatchSource
from trainer.data.encoding import Encoding
from trainer.data.streaming import EncodedImages
from trainer.evaluation.linear_probe import federated_probe, pooled_probe, probe_logits
from trainer.evaluation.metrics import choose_threshold, compute_metrics
from trainer.evaluation.spurious import Pairs, spurious_activation, tied_pairs
from trainer.methods.base import Method, MethodContext
from trainer.methods.zero_shot import ZeroShot, ZeroShotConfig
from trainer.run.identity import identity
from trainer.run.metric_records import FIGURES, METRICS_VERSION

if TYPE_CHECKING:
    from trainer.preparing import Prepared
    from trainer.run.folder import Run

BATCH_SIZE = 128
"""Images per batch; affects memory only."""

TITLES = {
    "every-label": "every label always",
    "prevalence": "label prevalence",
    "zero-shot": "zero-shot CLIP",
    "probe-federated": "linear probe, federated averaging",
    "probe-pooled": "linear probe, images pooled",
}
"""The yardsticks in ascending order of what they need. The last one sees all sites' features at once."""


@dataclass(frozen=True)
class _Seen:
    """What the yardsticks need of a split.

    Attributes:
        image: (n, D) normalised image features.
        zero_shot: (n, C) logits.
        labels: (n, C) int8; 1, 0, -1 unknown.
    """

    image: Tensor
    zero_shot: Tensor
    labels: Tensor


def stored_yardsticks(run: Run, prepared: Prepared) -> dict[str, Any] | None:
    """The content of yardsticks.json, which is computed and written if it is missing or of other data.

    None if `evaluation.yardsticks` is off.
    """
    if not prepared.config.evaluation.yardsticks:
        return None
    own = identity(run, prepared)
    of = {**{key: own[key] for key in ("data", "partition", "backbone")}, "metrics_version": METRICS_VERSION}
    known = run.yardsticks()
    if known is not None and known["of"] == of:
        return known
    content = {"of": of, "rows": measure_yardsticks(prepared)}
    run.write_json("yardsticks.json", content)
    return content


def measure_yardsticks(prepared: Prepared) -> list[dict[str, Any]]:
    """One row per yardstick: name, title, threshold, metrics on test images in per cent, mean spurious activation.

    Thresholds are chosen on validation images, as for methods. Unseen labels are not trained on.
    """
    data, method = prepared.dataset, prepared.method
    reference = _zero_shot(prepared)
    train, validation, test = (_seen(prepared, split, reference) for split in data.splits())
    trained = train.labels.clone()
    if method.seen is not None:
        hidden = [c for c in range(trained.shape[1]) if c not in method.seen.tolist()]
        trained[:, hidden] = -1
    sites = [(train.image[rows], trained[rows]) for rows in map(torch.from_numpy, client_indices(data.train))]
    chosen_on = (validation.image, validation.labels)
    pooled = pooled_probe((train.image, trained), chosen_on)
    federated = federated_probe(sites, chosen_on)
    usual = _prevalence(trained)
    logits = {
        "prevalence": lambda seen: usual.expand(len(seen.labels), -1),
        "zero-shot": lambda seen: seen.zero_shot,
        "probe-federated": lambda seen: probe_logits(federated, seen.image),
        "probe-pooled": lambda seen: probe_logits(pooled, seen.image),
    }
    pairs = tied_pairs(data.train, method.seen)
    labels = test.labels.cpu()
    rows = [_row("every-label", torch.ones(labels.shape), labels, 0.5, pairs)]
    for name, of in logits.items():
        threshold = choose_threshold(of(validation).cpu(), validation.labels.cpu())
        rows.append(_row(name, of(test).cpu().float(), labels, threshold, pairs))
    return rows


def _row(name: str, logits: Tensor, labels: Tensor, threshold: float, pairs: Pairs) -> dict[str, Any]:
    found = compute_metrics(logits, labels, threshold).to_dict()
    spurious = spurious_activation(pairs, logits.sigmoid() > threshold, labels)
    return {
        "name": name,
        "title": TITLES[name],
        **{key: found[key] for key in (*FIGURES, "threshold")},
        "spurious": spurious["mean"] if spurious else None,
    }


def _prevalence(labels: Tensor) -> Tensor:
    """(C,) the log-odds of each label on the training images, smoothed by half an image each way."""
    positive, known = (labels == 1).sum(0), (labels >= 0).sum(0)
    share = (positive + 0.5) / (known + 1)
    return (share / (1 - share)).log()


def _zero_shot(prepared: Prepared) -> ZeroShot:
    """The zero-shot method on the run's backbone and labels."""
    method = prepared.method
    context = MethodContext(
        clip=method.clip,
        label_names=method.label_names,
        bank=None,
        settings=ZeroShotConfig(),
        loss=prepared.config.loss,
        generator=torch.Generator(),
    )
    built = ZeroShot(context)
    built.to(method.clip.device)
    return built


def _seen(prepared: Prepared, split: Split, reference: Method) -> _Seen:
    device = reference.clip.device
    images, logits = [], []
    source = _features(prepared, split)
    with reference.evaluating():
        for batch in (b.to(device) for b in source.batches(BATCH_SIZE)):
            images.append(F.normalize(batch.image, dim=-1))
            logits.append(reference(batch))
    return _Seen(torch.cat(images), torch.cat(logits), torch.from_numpy(source.labels.astype(np.int64)).to(device))


def _features(prepared: Prepared, split: Split) -> BatchSource:
    """Image and patch features; encoded without a cache if the method itself reads something else."""
    if prepared.method.reads == "features":
        return prepared.features(split)
    config = prepared.config
    return EncodedImages(
        split, Encoding(prepared.method.clip, config.backbone.patch_source, config.compute.feature_type)
    )
