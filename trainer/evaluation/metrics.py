"""Multi-label metrics. Shape letters: n images, C labels, R resamples.

Average precision is computed on raw scores, since the sigmoid of large logits causes ties. Labels without a known
positive have no average precision and no recall; they are excluded from all means over labels, and counted. Pooled
metrics (OP, OR, OF1) count every decision, those on labels without positives too: claiming a label that no image has
is an error. Without any positive no metric has a value: all are None.

The tests compare all metrics with scikit-learn's and torchmetrics'. Neither is imported here: importing scikit-learn's
metrics takes most of a second of processor time, and torchmetrics more than torch itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

THRESHOLDS = torch.linspace(0.01, 0.99, 99)
"""Candidates for the threshold on the probability, which is chosen on validation images."""

DEFAULT_THRESHOLD = 0.5
"""The threshold if validation images have no positive label, so that none can be chosen on them."""

ORACLE_THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""The nine thresholds that published prompt-tuning programs try on the test images."""


@dataclass(frozen=True)
class ThresholdMetrics:
    """Metrics at a threshold, in per cent; None if no label has a positive.

    Attributes:
        CP, CR, CF1: means over labels with a positive of precision, recall and F1 (macro). The precision of a label
            that is never predicted is 0. This CF1 is that of the published prompt-tuning programs.
        CF1_harmonic: the harmonic mean of CP and CR, called CF1 by ML-GCN (Chen et al., CVPR 2019), ASL (Ridnik et
            al., ICCV 2021) and Query2Label (Liu et al., 2021).
        OP, OR, OF1: precision, recall and F1 over all decisions (micro), also on labels without positives.
    """

    CP: float | None
    CR: float | None
    CF1: float | None
    CF1_harmonic: float | None
    OP: float | None
    OR: float | None
    OF1: float | None


@dataclass(frozen=True)
class Metrics:
    """The metrics of a set of images, in per cent; None if no label has a positive.

    Attributes:
        mAP: mean average precision over labels with at least one known positive.
        CP, CR, CF1, CF1_harmonic, OP, OR, OF1: see `ThresholdMetrics`; at `threshold`.
        threshold: on the probability.
        labels_without_positives: number of labels excluded from means over labels.
        average_precision: per label, None for excluded ones.
    """

    mAP: float | None
    CP: float | None
    CR: float | None
    CF1: float | None
    CF1_harmonic: float | None
    OP: float | None
    OR: float | None
    OF1: float | None
    threshold: float
    labels_without_positives: int
    average_precision: tuple[float | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "average_precision": list(self.average_precision)}


def compute_metrics(logits: Tensor, labels: Tensor, threshold: float) -> Metrics:
    """All metrics of a set of images.

    Args:
        logits: (n, C) raw scores; sigmoid gives the probability.
        labels: (n, C); 1 present, 0 absent, -1 unknown (excluded).
        threshold: on the probability, for all metrics except mAP.

    Raises:
        ValueError: shapes differ, or a score is not finite.
    """
    _check(logits, labels)
    per_label = average_precision(logits, labels)
    kept = [value for value in per_label if value is not None]
    return Metrics(
        mAP=sum(kept) / len(kept) if kept else None,
        **asdict(threshold_metrics(confusion(logits.sigmoid(), labels, threshold))),
        threshold=threshold,
        labels_without_positives=len(per_label) - len(kept),
        average_precision=per_label,
    )


def average_precision(logits: Tensor, labels: Tensor) -> tuple[float | None, ...]:
    """Average precision of each label in per cent; None for labels without known positives.

    Args:
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
    """
    result: list[float | None] = []
    for column in range(labels.shape[1]):
        known = labels[:, column] >= 0
        truth = labels[known, column] == 1
        if not bool(truth.any()):
            result.append(None)
            continue
        once = torch.ones(1, len(truth), dtype=torch.float64, device=logits.device)
        value = weighted_average_precision(once, logits[known, column], truth)
        result.append(100 * float(value))
    return tuple(result)


def weighted_average_precision(counts: Tensor, scores: Tensor, truth: Tensor) -> Tensor:
    """Average precision in [0, 1] of one label in each resample; NaN if a resample has no positive.

    Σ over thresholds of (increase in recall) · precision, without interpolation, as in scikit-learn.

    Args:
        counts: (R, n) float64, the multiplicity of each image in a resample.
        scores: (n,) raw scores; tied images share a threshold.
        truth: (n,); 1 or 0.

    Returns:
        (R,) float64.
    """
    ordered, order = scores.sort(descending=True, stable=True)
    last_of_tie = torch.ones_like(ordered, dtype=torch.bool)
    last_of_tie[:-1] = ordered[1:] != ordered[:-1]
    sorted_counts = counts[:, order]
    hits = (sorted_counts * truth[order]).cumsum(1)[:, last_of_tie]
    seen = sorted_counts.cumsum(1)[:, last_of_tie]
    gained = hits.diff(dim=1, prepend=torch.zeros_like(hits[:, :1]))
    return (gained * hits / seen.clamp_min(1)).sum(1) / hits[:, -1]


def confusion(probabilities: Tensor, labels: Tensor, threshold: float) -> Tensor:
    """Counts of each label, (C, 3) float64: true positives, predicted positives, actual positives.

    Args:
        probabilities: (n, C) in [0, 1].
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: labels with a larger probability are predicted.
    """
    predicted = (probabilities > threshold) & (labels >= 0)
    actual = labels == 1
    return torch.stack([part.sum(0) for part in (predicted & actual, predicted, actual)], dim=-1).double()


def threshold_metrics(counts: Tensor) -> ThresholdMetrics:
    """Metrics from the counts (C, 3) of `confusion`; 0 if nothing is predicted, None if no label has a positive."""
    kept = counts[counts[:, 2] > 0]
    if not len(kept):
        return ThresholdMetrics(None, None, None, None, None, None, None)
    by_label = precision_recall_f1(kept).mean(0)
    harmonic = harmonic_mean(by_label[0], by_label[1])
    pooled = precision_recall_f1(counts.sum(0))
    return ThresholdMetrics(*(100 * float(value) for value in (*by_label, harmonic, *pooled)))


def harmonic_mean(first: Tensor, second: Tensor) -> Tensor:
    """2ab / (a + b) of non-negative numbers; 0 where both are 0."""
    total = first + second
    return 2 * first * second / total.where(total > 0, torch.ones_like(total))


def precision_recall_f1(counts: Tensor) -> Tensor:
    """Precision, recall and F1 (…, 3) in [0, 1] from counts (…, 3) of `confusion`; 0 for empty denominators."""
    true, predicted, actual = counts.unbind(-1)
    return torch.stack(
        [
            true / predicted.clamp_min(1),
            true / actual.clamp_min(1),
            2 * true / (predicted + actual).clamp_min(1),
        ],
        dim=-1,
    )


def choose_threshold(logits: Tensor, labels: Tensor) -> float:
    """The threshold on the probability with the best OF1 on validation images; the default one without positives."""
    _check(logits, labels)
    if not bool((labels == 1).any()):
        return DEFAULT_THRESHOLD
    probabilities = logits.sigmoid()
    scores = [threshold_metrics(confusion(probabilities, labels, float(t))).OF1 or 0.0 for t in THRESHOLDS]
    return round(float(THRESHOLDS[max(range(len(scores)), key=scores.__getitem__)]), 2)


def oracle_metrics(probabilities: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Metrics as published programs report them, with thresholds chosen on the test images; for comparison only.

    Each metric is its own maximum over nine thresholds, so precision and recall come from different thresholds. Labels
    without positives count as 0 in all means over labels, including mAP. Undefined values (the overall precision if
    nothing is predicted) are never the maximum.

    Args:
        probabilities: (n, C) in [0, 1].
        labels: (n, C); 1, 0 or -1 (unknown).

    Returns:
        mAP, CP, CR, CF1, CF1_harmonic, OP, OR, OF1 in per cent; None if no label has a positive.
    """
    names = ("CP", "CR", "CF1", "CF1_harmonic", "OP", "OR", "OF1")
    if not bool((labels == 1).any()):
        return dict.fromkeys(("mAP", *names))
    tried = []
    for threshold in ORACLE_THRESHOLDS:
        counts = confusion(probabilities, labels, threshold)
        by_label = precision_recall_f1(counts).mean(0)
        harmonic = harmonic_mean(by_label[0], by_label[1])
        tried.append(torch.cat([by_label, harmonic[None], precision_recall_f1(counts.sum(0))]))
    best = 100 * torch.stack(tried).amax(0)
    per_label = [value or 0.0 for value in average_precision(probabilities, labels)]
    return {"mAP": sum(per_label) / len(per_label), **dict(zip(names, best.tolist(), strict=True))}


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.shape != labels.shape:
        raise ValueError(f"scores {tuple(logits.shape)} and labels {tuple(labels.shape)} differ in shape")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("a score is not finite")
