"""Rank measures of agreement between scores and observed lifts of P pairs, for B rows of weights at once.

A weight is the multiplicity of a pair in a bootstrap sample, so that resampling needs no new sorting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Pairs sorted by a score, with groups of ties.

    Attributes:
        order: (P,) indices of the pairs by ascending score.
        starts: the start of each group of equal scores within `order`.
        group: (P,) the group of each entry of `order`.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Matrix) -> Ranking:
        """The ranking of P scores."""
        order = np.argsort(scores, kind="stable")
        new = np.diff(scores[order], prepend=np.nan) != 0
        return cls(order, np.flatnonzero(new), np.cumsum(new) - 1)

    def group_sums(self, weights: Matrix) -> Matrix:
        """B × P weights sums within each group, by ascending score."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def ranks(self, weights: Matrix) -> Matrix:
        """B × P: the weighted mid-rank of each pair."""
        sums = self.group_sums(weights)
        middle = np.cumsum(sums, axis=1) - sums / 2
        ranks = np.empty_like(weights)
        ranks[:, self.order] = middle[:, self.group]
        return ranks


def roc_auc(scores: Ranking, positive: NDArray[np.bool_], weights: Matrix) -> Matrix:
    """Area under the ROC curve, (B,); ties count half (Mann and Whitney 1947). NaN if a class is empty."""
    up, down = scores.group_sums(weights * positive), scores.group_sums(weights * ~positive)
    below = np.cumsum(down, axis=1) - down / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (up * below).sum(1) / (up.sum(1) * down.sum(1))


def average_precision(scores: Ranking, positive: NDArray[np.bool_], weights: Matrix) -> Matrix:
    """Average precision, (B,): precision weighted by the increments of recall. NaN if there are no positives."""
    up, every = scores.group_sums(weights * positive)[:, ::-1], scores.group_sums(weights)[:, ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.cumsum(up, axis=1) / np.cumsum(every, axis=1)
        return np.nansum(precision * up, axis=1) / np.where(up.sum(1) > 0, up.sum(1), np.nan)


def spearman(a: Ranking, b: Ranking, weights: Matrix) -> Matrix:
    """Spearman's rank correlation, (B,): Pearson's correlation of the mid-ranks. NaN if all scores are equal."""
    x, y = a.ranks(weights), b.ranks(weights)
    total = weights.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (side - (weights * side).sum(1, keepdims=True) / total for side in (x, y))
        covariance = (weights * x * y).sum(1)
        return covariance / np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
