"""Spurious activation: how much more often a label is claimed wrongly where another label is present.

For pairs of labels that the training images of some site tie together. A model that has learned that a cat means a
chair claims chairs on images of cats without chairs. Shape letters: n images, C labels, P pairs, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data.base import Split
from trainer.evaluation.bootstrap import resampled_counts

LEAST_LIFT = 2.0
"""A pair is tied if at some site both labels occur together at least this many times as often as by chance."""
LEAST_IMAGES = 10
"""Images of that site that must show both."""
Pairs = dict[tuple[int, int], float]
"""The highest lift at a site, by ordered pair of label indices."""

PAIRS_AT_ONCE = 256
"""Pairs resampled at once; has no effect on results."""


def tied_pairs(split: Split, trained: Tensor | None = None) -> Pairs:
    """The ordered label pairs that some site's training images tie together, with the highest lift at a site.

    Lift: P(both) / (P(first) P(second)), over the site's images on which both labels are known.

    Args:
        split: the training images.
        trained: indices of the labels that are trained on; None for all.
    """
    labels = split.labels
    highest = np.zeros((labels.shape[1],) * 2)
    for site in np.unique(split.sites[split.sites >= 0]):
        own = labels[split.sites == site]
        present, known = (own == 1).astype(float), (own >= 0).astype(float)
        both, images = present.T @ present, known.T @ known
        first = present.T @ known
        lift = both * images / np.maximum(first * first.T, 1)
        highest = np.maximum(highest, np.where(both >= LEAST_IMAGES, lift, 0))
    np.fill_diagonal(highest, 0)
    if trained is not None:
        kept = np.isin(np.arange(len(highest)), trained.cpu().numpy())
        highest[~kept] = 0
        highest[:, ~kept] = 0
    return {(int(a), int(b)): float(highest[a, b]) for a, b in zip(*np.nonzero(highest >= LEAST_LIFT), strict=True)}


def spurious_activation(
    pairs: Pairs, predicted: Tensor, labels: Tensor, names: Sequence[str] | None = None
) -> dict[str, Any] | None:
    """Spurious activation on test images, by pair and in the mean.

    For a pair (a, b): P(b claimed | a present, b absent) − P(b claimed | a absent, b absent). Beside it the true
    association on the same images, P(b | a) − P(b | not a), which tells apart a pair that holds there.

    Args:
        pairs: of `tied_pairs`.
        predicted: (n, C) bool; the labels that the model claims.
        labels: (n, C); 1, 0 or -1 (unknown).
        names: of the C labels; None: their numbers.

    Returns:
        `pairs`: their number; `measured`: of those with test images of both kinds; `mean` and `true_association` over
        these in percentage points, None if there are none; `each`, by decreasing activation. None without pairs.
    """
    if not pairs:
        return None
    shown = [str(index) for index in range(labels.shape[1])] if names is None else names
    each: list[dict[str, Any]] = []
    for (a, b), lift in pairs.items():
        claimed, associated = _pair_rates(predicted, labels, a, b)
        if claimed is None or associated is None:
            continue
        each.append(
            {
                "present": shown[a],
                "claimed": shown[b],
                "site_lift": lift,
                "with": 100 * claimed[0],
                "without": 100 * claimed[1],
                "activation": 100 * (claimed[0] - claimed[1]),
                "true_association": 100 * (associated[0] - associated[1]),
            }
        )
    each.sort(key=lambda row: -row["activation"])
    return {
        "pairs": len(pairs),
        "measured": len(each),
        "mean": float(np.mean([row["activation"] for row in each])) if each else None,
        "true_association": float(np.mean([row["true_association"] for row in each])) if each else None,
        "each": each,
    }


def _pair_rates(
    predicted: Tensor, labels: Tensor, a: int, b: int
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """How often b is claimed where it is absent, and how often it is present, each with a and without a."""
    present, absent = labels[:, a] == 1, labels[:, a] == 0
    claimed = _rates(predicted[:, b], present & (labels[:, b] == 0), absent & (labels[:, b] == 0))
    return claimed, _rates(labels[:, b] == 1, present & (labels[:, b] >= 0), absent & (labels[:, b] >= 0))


def _rates(event: Tensor, first: Tensor, second: Tensor) -> tuple[float, float] | None:
    """The fraction of images with the event in either group; None if a group is empty."""
    if not bool(first.any()) or not bool(second.any()):
        return None
    return float(event[first].double().mean()), float(event[second].double().mean())


def activation_interval(
    pairs: Pairs,
    predicted: Tensor,
    labels: Tensor,
    *,
    resamples: int,
    level: float,
    generator: np.random.Generator,
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean spurious activation, over images, in percentage points.

    A pair without test images of both kinds in a resample is left out of its mean. None if no pair is measured.

    Args:
        pairs, predicted, labels: see `spurious_activation`.
        resamples: R ≥ 1.
        level: confidence level.
        generator: for the resampling.
    """
    measured = [pair for pair in pairs if _pair_rates(predicted, labels, *pair)[0] is not None]
    if not measured:
        return None
    first, second = (torch.tensor([pair[side] for pair in measured]) for side in (0, 1))
    means = torch.cat(
        [
            _resampled_means(counts, predicted, labels, first, second)
            for counts in resampled_counts(len(labels), resamples, generator)
        ]
    )
    low, high = np.nanquantile(means.numpy(), [(1 - level) / 2, (1 + level) / 2])
    return 100 * float(low), 100 * float(high)


def _resampled_means(counts: Tensor, predicted: Tensor, labels: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(R,) the mean activation over P pairs in each resample; `first` and `second` (P,) are label indices."""
    total = torch.zeros(len(counts), dtype=torch.float64)
    number = torch.zeros_like(total)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        a, b = first[start : start + PAIRS_AT_ONCE], second[start : start + PAIRS_AT_ONCE]
        wrong = predicted[:, b] & (labels[:, b] == 0)
        rates = []
        for group in ((labels[:, a] == 1) & (labels[:, b] == 0), (labels[:, a] == 0) & (labels[:, b] == 0)):
            rates.append((counts @ (wrong & group).double()) / (counts @ group.double()))  # NaN if the group is empty
        difference = rates[0] - rates[1]
        total += difference.nansum(1)
        number += (~difference.isnan()).sum(1)
    return total / number
