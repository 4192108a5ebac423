"""Evaluation where the images are: a site counts, and several sites' counts give the figures of all their images.

For each label a site tells three numbers: how many of its images have it, for how many it is predicted, and for how
many both. These give precision, recall and F1. mAP needs the order of all images by score, so it exists only if sites
are allowed to send scores and labels of each image. Shape letters: n images of a site, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from trainer.evaluation.metrics import Metrics, compute_metrics, confusion, threshold_metrics
from trainer.federation.checks import UpdateRefused
from trainer.federation.replies import Signature, State
from trainer.run.metric_records import FIGURES

Tells = Literal["no", "counts", "scores"]
"""What a site tells of its test images: nothing, counts for each label, or scores and labels of each image, too."""


@dataclass(frozen=True)
class SiteCounts:
    """What a site tells of its images.

    Attributes:
        images: n.
        counts: (C, 3) int64; of each label the true positives, predicted positives and actual positives.
        scores: (n, C) float32 raw scores and (n, C) int8 labels (1, 0, -1 unknown); None if they stay at the site.
    """

    images: int
    counts: Tensor
    scores: tuple[Tensor, Tensor] | None = None

    def tensors(self) -> State:
        """As an exchanged state, for `trainer.federation.messages`."""
        if self.scores is None:
            return {"counts": self.counts}
        return {"counts": self.counts, "scores": self.scores[0], "labels": self.scores[1]}


def count_at_site(logits: Tensor, labels: Tensor, threshold: float, with_scores: bool = False) -> SiteCounts:
    """A site's counts.

    Args:
        logits: (n, C) raw scores of its images.
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: on the probability, the same for all sites.
        with_scores: also tell the scores and labels of each image.
    """
    scores = (logits.float().cpu(), labels.to(torch.int8).cpu()) if with_scores else None
    return SiteCounts(len(logits), confusion(logits.sigmoid(), labels, threshold).long().cpu(), scores)


def site_signature(images: int, labels: int, with_scores: bool) -> Signature:
    """What a site's tensors must look like, see `decode_update`."""
    counts = {"counts": (torch.Size((labels, 3)), torch.int64)}
    each = torch.Size((images, labels))
    return {**counts, "scores": (each, torch.float32), "labels": (each, torch.int8)} if with_scores else counts


def received_counts(tensors: State, images: int, site: int, threshold: float) -> SiteCounts:
    """A site's counts from tensors of the form of `site_signature`.

    Raises:
        UpdateRefused: numbers that no images can have.
    """
    counts = tensors["counts"]
    true, predicted, actual = counts.unbind(1)
    if bool((counts < 0).any()) or bool((counts > images).any()):
        raise UpdateRefused(site, f"counted less than 0 or more than its {images} images")
    if bool((true > predicted).any()) or bool((true > actual).any()):
        raise UpdateRefused(site, "counted more true positives than predictions, or than images with a label")
    if "scores" not in tensors:
        return SiteCounts(images, counts)
    scores, labels = tensors["scores"], tensors["labels"]
    if bool((labels < -1).any()) or bool((labels > 1).any()):
        raise UpdateRefused(site, "sent labels other than 1, 0 and -1")
    # The counts of the scores, so that one site has one set of figures.
    return SiteCounts(images, confusion(scores.sigmoid(), labels, threshold).long(), (scores, labels))


def merged_metrics(sites: Sequence[SiteCounts], threshold: float) -> Metrics:
    """The metrics of all images of some sites; without mAP unless all of them sent scores.

    Args:
        sites: at least one, of the same labels.
        threshold: at which they counted.
    """
    sent = [site.scores for site in sites if site.scores is not None]
    if len(sent) == len(sites):
        logits, labels = (torch.cat(parts) for parts in zip(*sent, strict=True))
        return compute_metrics(logits, labels, threshold)
    counts = torch.stack([site.counts for site in sites]).sum(0)
    return Metrics(
        mAP=None,
        **asdict(threshold_metrics(counts.double())),
        threshold=threshold,
        labels_without_positives=int((counts[:, 2] == 0).sum()),
        average_precision=(None,) * len(counts),
    )


def sites_record(
    found: Mapping[int, SiteCounts | None],
    training_images: Mapping[int, int],
    clients: int,
    rounds: int,
    threshold: float,
    own_models: bool = False,
) -> dict[str, Any]:
    """What the sites of a federation told, as the content of sites.json.

    Args:
        found: by client; None for a site that tells nothing, none for one that did not answer.
        training_images: their number, by client, as far as it is known.
        clients: K.
        rounds: of the evaluated checkpoint.
        threshold: at which they counted.
        own_models: whether each evaluated its own model, with the parts that it alone has.
    """
    counted = {client: site for client, site in found.items() if site is not None}
    each = [
        {
            "client": client,
            "training_images": training_images.get(client),
            "answered": client in found,
            "images": counted[client].images if client in counted else 0,
            "figures": _figures([counted[client]], threshold) if client in counted else None,
        }
        for client in range(clients)
    ]
    together = _figures(list(counted.values()), threshold) if counted else None
    return {
        "rounds": rounds,
        "threshold": threshold,
        "own_models": own_models,
        "together": together,
        "each": each,
    }


def _figures(sites: Sequence[SiteCounts], threshold: float) -> dict[str, float | None]:
    found = merged_metrics(sites, threshold)
    return {name: getattr(found, name) for name in FIGURES}
