"""Evaluate a checkpoint: test metrics with confidence intervals, by label, by client, and for seen and unseen labels.

Shape letters: n images, C labels, K clients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from trainer.data.base import Split, client_sites
from trainer.evaluation.bootstrap import intervals, trusted, weighted_metrics
from trainer.evaluation.metrics import (
    ORACLE_THRESHOLDS,
    Metrics,
    choose_threshold,
    compute_metrics,
    confusion,
    oracle_metrics,
    precision_recall_f1,
)
from trainer.evaluation.spurious import activation_interval, spurious_activation, tied_pairs
from trainer.evaluation.yardsticks import stored_yardsticks
from trainer.run.identity import check_identity
from trainer.run.metric_records import FIGURES, METRICS_VERSION
from trainer.run.restoring import clients_with_personal_parts, parts_are_elsewhere, restore
from trainer.seeding import numpy_generator

if TYPE_CHECKING:
    from trainer.data.batches import BatchSource
    from trainer.methods.base import Method
    from trainer.preparing import Prepared
    from trainer.run.folder import Run

EVALUATION_BATCH = 128
"""Batch size of inference; affects memory only."""


def evaluate(run: Run, prepared: Prepared, checkpoint: str = "last") -> dict[str, Any]:
    """Evaluate on the test split, at a threshold chosen on the validation split, and write evaluation.json.

    The run's yardsticks are measured too, if they are not there yet.

    The threshold is chosen on seen labels only. For a method with personal parts, the global model with the initial
    personal parts is evaluated; the metrics of clients are those of their own models.

    Raises:
        RunFailed: another process is at work in the run.
        TrainerError: the run has no such checkpoint, or was trained with other data, bank or backbone.
    """
    with run.working():
        return _evaluate(run, prepared, checkpoint)


def _evaluate(run: Run, prepared: Prepared, checkpoint: str) -> dict[str, Any]:
    check_identity(run, prepared)
    method, dataset = prepared.method, prepared.dataset
    rounds = restore(run, method, checkpoint)
    threshold = choose_threshold(*on_seen_labels(scores(method, prepared.features(dataset.validation)), method.seen))
    test = prepared.features(dataset.test)
    logits, labels = scores(method, test)
    result = {
        "method": prepared.config.method.name,
        "dataset": dataset.name,
        "dataset_fingerprint": dataset.fingerprint,
        "backbone": method.clip.name,
        "preprocessing": method.clip.preprocess.identity(),
        "rounds": rounds,
        "images": len(labels),
        "distinct_predictions": len(torch.unique(logits.sigmoid() > threshold, dim=0)),
        "label_names": list(dataset.label_names),
        "renamed_labels": dict(prepared.renamed_labels),
        "test": compute_metrics(logits, labels, threshold).to_dict(),
        "test_at_0.5": compute_metrics(logits, labels, 0.5).to_dict(),
        "test_oracle_thresholds": {
            "thresholds": list(ORACLE_THRESHOLDS),
            **oracle_metrics(logits.sigmoid(), labels),
        },
        "intervals": _intervals(prepared, logits, labels, threshold),
        "per_label": per_label(dataset.label_names, logits, labels, threshold),
        **_seen_and_unseen(method, logits, labels, threshold),
        "clients": _clients(run, prepared, rounds, (logits, labels), threshold),
        "spurious_activation": _spurious(prepared, logits, labels, threshold),
        "metrics_version": METRICS_VERSION,
        "diagnostics": diagnose(method, test),
        "description": method.describe(),
    }
    run.write_json("evaluation.json", result)
    stored_yardsticks(run, prepared)
    return result


def scores(method: Method, features: BatchSource) -> tuple[Tensor, Tensor]:
    """Logits and labels of all images, (n, C) each, on the CPU."""
    with method.evaluating():
        logits = [method(b.to(method.clip.device)).cpu() for b in features.batches(EVALUATION_BATCH)]
    return torch.cat(logits), torch.from_numpy(features.labels.astype(np.int64))


def diagnose(method: Method, features: BatchSource) -> dict[str, float]:
    """`Method.diagnose` on the first images of a split."""
    with method.evaluating():
        return method.diagnose(next(features.batches(EVALUATION_BATCH)).to(method.clip.device))


def measure(method: Method, features: BatchSource, threshold: float = 0.5) -> Metrics:
    """Metrics of a method on a split, over the seen labels."""
    return compute_metrics(*on_seen_labels(scores(method, features), method.seen), threshold)


def per_label(names: tuple[str, ...], logits: Tensor, labels: Tensor, threshold: float) -> list[dict[str, Any]]:
    """For each label: number of positives, and average precision, precision, recall and F1 in per cent.

    Labels without positives have None.
    """
    precisions = compute_metrics(logits, labels, threshold).average_precision
    counts = confusion(logits.sigmoid(), labels, threshold)
    rows = []
    for name, value, count, three in zip(names, precisions, counts, precision_recall_f1(counts), strict=True):
        decided = [None] * 3 if value is None else [100 * float(part) for part in three]
        rows.append(
            {
                "label": name,
                "positives": int(count[2]),
                "average_precision": value,
                **dict(zip(("precision", "recall", "F1"), decided, strict=True)),
            }
        )
    return rows


def client_metrics(logits: Tensor, labels: Tensor, sites: np.ndarray, threshold: float) -> dict[str, Any]:
    """Metrics on each client's own images, with the mean and the worst over clients.

    Args:
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
        sites: (n,) the site that owns each image; unowned images (-1) are excluded.
        threshold: on the probability.

    Returns:
        `each`: client, images, and metrics in per cent (None if its images have no positive label); `mean` and `worst`
        of each metric; `without_positives`: the number of clients excluded from these.
    """
    owners = np.unique(sites[sites >= 0])
    found = torch.cat(
        [weighted_metrics(torch.from_numpy(sites == o).double()[None], logits, labels, threshold) for o in owners]
    )
    each = [
        {
            "client": int(owner),
            "images": int((sites == owner).sum()),
            **{n: None if math.isnan(row[0]) else v for n, v in zip(FIGURES, row, strict=True)},
        }
        for owner, row in zip(owners, found.tolist(), strict=True)
    ]
    kept = found[~found[:, 0].isnan()]
    summary = {
        "mean": dict(zip(FIGURES, kept.mean(0).tolist(), strict=True)) if len(kept) else None,
        "worst": dict(zip(FIGURES, kept.amin(0).tolist(), strict=True)) if len(kept) else None,
    }
    return {**summary, "without_positives": len(found) - len(kept), "each": each}


def _clients(
    run: Run, prepared: Prepared, rounds: int, test: tuple[Tensor, Tensor], threshold: float
) -> dict[str, Any] | None:
    """Metrics on the clients' own test images if there are any, otherwise on their training images."""
    if not prepared.config.evaluation.clients:
        return None
    dataset, method = prepared.dataset, prepared.method
    if parts_are_elsewhere(run, method):
        prepared.reporter.say("no figures of single clients: their models' own parts are at their sites")
        return None
    split: Split = dataset.test if (dataset.test.sites >= 0).any() else dataset.train
    logits, labels = test if split is dataset.test else scores(method, prepared.features(split))
    logits = _with_personal_parts(run, prepared, rounds, split, logits)
    # On training images, unseen labels are excluded as in training.
    logits, labels = on_seen_labels((logits, labels), method.seen if split is dataset.train else None)
    return {"images": split.name, **client_metrics(logits, labels, split.sites, threshold)}


def _with_personal_parts(run: Run, prepared: Prepared, rounds: int, split: Split, logits: Tensor) -> Tensor:
    """Logits (n, C) of a split, with those of each client's images from its own model if it has one."""
    method = prepared.method
    clients = clients_with_personal_parts(run, method, rounds)
    if not clients:
        return logits
    features, sites, own = prepared.features(split), client_sites(prepared.dataset.train), logits.clone()
    for client in clients:
        restore(run, method, str(rounds), client)
        images = np.flatnonzero(split.sites == sites[client])
        with method.evaluating():
            for start in range(0, len(images), EVALUATION_BATCH):
                part = images[start : start + EVALUATION_BATCH]
                own[part] = method(features.batch(part).to(method.clip.device)).cpu()
    restore(run, method, str(rounds))
    return own


def _intervals(prepared: Prepared, logits: Tensor, labels: Tensor, threshold: float) -> dict[str, Any] | None:
    settings, seed = prepared.config.evaluation, prepared.config.seeds.bootstrap
    if not settings.bootstrap or not bool((labels == 1).any()):
        return None
    ends = intervals(
        logits,
        labels,
        threshold,
        resamples=settings.bootstrap,
        level=settings.confidence,
        generator=numpy_generator(seed, "bootstrap"),
    )
    kept, reason = trusted(ends, compute_metrics(logits, labels, threshold).to_dict(), labels)
    why = {} if reason is None else {"reason": reason}
    return {"level": settings.confidence, "resamples": settings.bootstrap, **kept, **why}


def _spurious(prepared: Prepared, logits: Tensor, labels: Tensor, threshold: float) -> dict[str, Any] | None:
    """Spurious activation over the pairs that sites tie together, with its interval."""
    settings = prepared.config.evaluation
    pairs = tied_pairs(prepared.dataset.train, prepared.method.seen)
    predicted = logits.sigmoid() > threshold
    found = spurious_activation(pairs, predicted, labels, prepared.dataset.label_names)
    if found is None:
        return None
    ends = None
    if settings.bootstrap:
        ends = activation_interval(
            pairs,
            predicted,
            labels,
            resamples=settings.bootstrap,
            level=settings.confidence,
            generator=numpy_generator(prepared.config.seeds.bootstrap, "spurious"),
        )
    return {**found, "interval": None if ends is None else list(ends)}


def _seen_and_unseen(method: Method, logits: Tensor, labels: Tensor, threshold: float) -> dict[str, Any]:
    """Metrics over seen and over unseen labels; empty if all labels are seen."""
    if method.seen is None:
        return {}
    seen = method.seen.cpu()
    unseen = torch.tensor([c for c in range(labels.shape[1]) if c not in seen.tolist()])
    parts = {"test_seen": seen, "test_unseen": unseen}
    return {
        k: compute_metrics(*on_seen_labels((logits, labels), part), threshold).to_dict() for k, part in parts.items()
    }


def on_seen_labels(pair: tuple[Tensor, Tensor], seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Select the columns of these labels from logits and labels (n, C); None keeps all."""
    if seen is None:
        return pair
    logits, labels = pair
    return logits[:, seen.cpu()], labels[:, seen.cpu()]
