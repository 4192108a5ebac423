"""Bootstrap confidence intervals of metrics, over images (Efron & Tibshirani, 1993: percentile method).

Shape letters: R resamples, n images, C labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.evaluation.metrics import harmonic_mean, precision_recall_f1, weighted_average_precision
from trainer.run.metric_records import FIGURES

CELLS = 4_000_000
"""Counts (resamples times images) held in memory at once; has no effect on results."""


def intervals(
    logits: Tensor,
    labels: Tensor,
    threshold: float,
    *,
    resamples: int,
    level: float,
    generator: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of all metrics.

    Labels without a positive in a resample are excluded from its means over labels.

    Args:
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: on the probability.
        resamples: R ≥ 1.
        level: confidence level, 0.95 for instance.
        generator: for the resampling.

    Returns:
        (low, high) in per cent by metric.
    """
    resampled = [
        weighted_metrics(counts, logits, labels, threshold)
        for counts in resampled_counts(len(labels), resamples, generator)
    ]
    tail = (1 - level) / 2
    ends = np.nanquantile(torch.cat(resampled).numpy(), [tail, 1 - tail], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(FIGURES, *ends, strict=True)}


def trusted(
    found: dict[str, tuple[float, float]], estimates: Mapping[str, Any], labels: Tensor
) -> tuple[dict[str, list[float] | None], str | None]:
    """The intervals that hold their own metric; the others are None, with the reason.

    With few positives per label the bootstrap is biased: resamples repeat positives, which raises average precision,
    and lose labels. If less than a tail of the resamples lies on one side of the metric, the percentile interval
    excludes it, and so does the bias-corrected one (Efron & Tibshirani, 1993, §14.3): no bootstrap interval can be
    trusted.

    Args:
        found: of `intervals`.
        estimates: the metrics, in per cent; None without a value.
        labels: (n, C); 1, 0 or -1 (unknown).
    """
    kept: dict[str, list[float] | None] = {}
    for name, (low, high) in found.items():
        estimate = estimates[name]
        inside = estimate is not None and low - 1e-9 <= estimate <= high + 1e-9  # false for NaN
        kept[name] = [low, high] if inside else None
    lost = [name for name, ends in kept.items() if ends is None]
    if not lost:
        return kept, None
    positives = (labels == 1).sum(0)
    fewest = int(positives[positives > 0].min()) if bool((positives > 0).any()) else 0
    return kept, (
        f"no interval for {', '.join(lost)}: {len(labels)} test images, and {fewest} positive for the rarest label, "
        "are too few for a bootstrap"
    )


def weighted_metrics(counts: Tensor, logits: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """All metrics of R multisets of images, given the multiplicity of each image (0 or 1 for subsets).

    Labels without a positive in a multiset are excluded from its means over labels.

    Args:
        counts: (R, n) float64, the multiplicities.
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: on the probability.

    Returns:
        (R, 8) in per cent, in the order of FIGURES; means over labels are NaN if a multiset has no positive at all.
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
    harmonic = harmonic_mean(by_label[:, 0], by_label[:, 1])
    pooled = precision_recall_f1(confused.sum(1))
    mean = torch.stack(precisions, dim=1).nanmean(1)
    return 100 * torch.cat([mean[:, None], by_label, harmonic[:, None], pooled], dim=1)


def resampled_counts(images: int, resamples: int, generator: np.random.Generator) -> Iterator[Tensor]:
    """Blocks (r, n) float64 of bootstrap counts, with R rows in total."""
    step = max(1, CELLS // images)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        places = generator.integers(0, images, size=(rows, images)) + images * np.arange(rows)[:, None]
        counts = np.bincount(places.ravel(), minlength=rows * images).reshape(rows, images)
        yield torch.from_numpy(counts.astype(np.float64))
