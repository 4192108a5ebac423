"""Multi-label figures, through torchmetrics. Shape letters: n images, C labels.

Two choices matter and are made here once. Average precision is computed on ranks of the raw scores, since a sigmoid of
large logits makes ties. Labels without a known positive image have no average precision: they are left out of the
mean, and counted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_average_precision,
    multilabel_f1_score,
)

THRESHOLDS = torch.linspace(0.01, 0.99, 99)
"""Candidate thresholds on the probability when one is chosen on validation images."""


@dataclass(frozen=True)
class Figures:
    """Percentages over one set of images.

    Attributes:
        mAP: mean average precision over labels with at least one known positive.
        CF1: mean over labels of the F1 at `threshold` (macro).
        OF1: F1 at `threshold` over all decisions pooled (micro).
        threshold: on the probability.
        labels_without_positives: how many labels the mAP leaves out.
        average_precision: per label, None for those left out.
    """

    mAP: float
    CF1: float
    OF1: float
    threshold: float
    labels_without_positives: int
    average_precision: tuple[float | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "average_precision": list(self.average_precision)}


def figures(logits: Tensor, labels: Tensor, threshold: float) -> Figures:
    """All figures of a set of images.

    Args:
        logits: (n, C) raw scores; sigmoid gives the probability.
        labels: (n, C); 1 present, 0 absent, -1 unknown (left out everywhere).
        threshold: on the probability, for CF1 and OF1.

    Raises:
        ValueError: shapes differ, a score is not finite, or no label has a positive.
    """
    _check(logits, labels)
    per_label = average_precision(logits, labels)
    kept = [value for value in per_label if value is not None]
    if not kept:
        raise ValueError("no label has a positive image: mean average precision is not defined")
    class_f1, overall_f1 = f1(logits.sigmoid(), labels, threshold)
    return Figures(
        mAP=sum(kept) / len(kept),
        CF1=class_f1,
        OF1=overall_f1,
        threshold=threshold,
        labels_without_positives=len(per_label) - len(kept),
        average_precision=per_label,
    )


def average_precision(logits: Tensor, labels: Tensor) -> tuple[float | None, ...]:
    """Average precision of each label in per cent; None where no known positive exists.

    Args:
        logits: (n, C) raw scores.
        labels: (n, C); 1, 0 or -1 (unknown).
    """
    result: list[float | None] = []
    for column in range(labels.shape[1]):
        known = labels[:, column] >= 0
        truth = labels[known, column].long()
        if not bool(truth.sum()):
            result.append(None)
            continue
        value = binary_average_precision(_ranks(logits[known, column]), truth)
        result.append(100 * float(value))
    return tuple(result)


def f1(probabilities: Tensor, labels: Tensor, threshold: float) -> tuple[float, float]:
    """(CF1, OF1) in per cent at a threshold.

    Args:
        probabilities: (n, C) in [0, 1].
        labels: (n, C); 1, 0 or -1 (unknown).
        threshold: predicted present where the probability is larger.
    """
    count = labels.shape[1]
    if count == 1:
        raise ValueError("F1 over labels needs at least two labels")
    arguments: dict[str, Any] = {"num_labels": count, "threshold": threshold, "ignore_index": -1}
    per_label = multilabel_f1_score(probabilities, labels.long(), average="none", **arguments)
    overall = multilabel_f1_score(probabilities, labels.long(), average="micro", **arguments)
    return 100 * float(per_label.mean()), 100 * float(overall)


def choose_threshold(logits: Tensor, labels: Tensor) -> float:
    """The threshold on the probability with the best OF1 on these (validation) images."""
    _check(logits, labels)
    probabilities = logits.sigmoid()
    scores = [f1(probabilities, labels, float(threshold))[1] for threshold in THRESHOLDS]
    return round(float(THRESHOLDS[max(range(len(scores)), key=scores.__getitem__)]), 2)


def _ranks(scores: Tensor) -> Tensor:
    """Dense ranks in [0, 1]: the same order and the same ties as the scores, in a range nobody takes for logits."""
    _, dense = torch.unique(scores, return_inverse=True)
    return dense.double() / max(1, int(dense.max()))


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.shape != labels.shape:
        raise ValueError(f"scores {tuple(logits.shape)} and labels {tuple(labels.shape)} differ in shape")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("a score is not finite")
