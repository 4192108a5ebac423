"""Bootstrap confidence intervals of the figures, over images (Efron & Tibshirani, 1993: percentile method).

Shape letters: R resamples, n images, C labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from trainer.evaluation.metrics import precision_recall_f1, weighted_average_precision

CELLS = 4_000_000
"""Counts (resamples times images) held at once; it bounds the memory and changes no figure."""

NAMES = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")
"""The figures that get an interval."""


def intervals(
    logits: Tensor,
    labels: Tensor,
    threshold: float,
    *,
    resamples: int,
    level: float,
    generator: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of all figures when the images are drawn again, with replacement.

    A label whose positives a resample misses is left out of that resample's means over labels.

    Args:
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: on the probability.
        resamples: R ≥ 1.
        level: the share of resamples between the two ends, 0.95 for instance.
        generator: draws the images.

    Returns:
        (low, high) in per cent by figure.
    """
    drawn = [
        weighted_figures(counts, logits, labels, threshold) for counts in _counts(len(labels), resamples, generator)
    ]
    tail = (1 - level) / 2
    ends = np.nanquantile(torch.cat(drawn).numpy(), [tail, 1 - tail], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(NAMES, *ends, strict=True)}


def weighted_figures(counts: Tensor, logits: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """All figures of sets that hold each image so many times; of a subset, with counts 0 and 1.

    A set's means over labels leave out the labels of which it has no positive.

    Args:
        counts: (R, n) float64.
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: on the probability.

    Returns:
        (R, 7) in the order of NAMES, in per cent; NaN means over labels where a set has no positive at all.
    """
    precisions = []
    for column in range(labels.shape[1]):
        known = labels[:, column] >= 0
        truth = labels[known, column]
        precisions.append(weighted_average_precision(counts[:, known], logits[known, column], truth))
    known = labels >= 0
    predicted = (logits.sigmoid() > threshold) & known
    actual = labels == 1
    confused = torch.stack([counts @ part.double() for part in (predicted & actual, predicted, actual)], dim=-1)
    without = confused[..., 2] == 0
    by_label = precision_recall_f1(confused).masked_fill(without[..., None], float("nan")).nanmean(1)
    pooled = precision_recall_f1(confused.masked_fill(without[..., None], 0.0).sum(1))
    mean = torch.stack(precisions, dim=1).nanmean(1)
    return 100 * torch.cat([mean[:, None], by_label, pooled], dim=1)


def _counts(images: int, resamples: int, generator: np.random.Generator) -> Iterator[Tensor]:
    """(some, n) float64: how often each image was drawn; R rows in all."""
    step = max(1, CELLS // images)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        places = generator.integers(0, images, size=(rows, images)) + images * np.arange(rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=rows * images).reshape(rows, images)
        yield torch.from_numpy(counts.astype(np.float64))
