"""How well scores of pairs agree with observed lifts. P pairs; each measure is computed for B rows of weights at once.

A weight counts a pair several times: so labels are drawn again and again without sorting the pairs each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Pairs in the order of a score, ties together.

    Attributes:
        order: the pairs from the lowest to the highest score.
        starts: where each group of equal scores begins in it.
        group: for each pair, in the order, which group it is in.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, scores: Matrix) -> Ranking:
        """Of P scores."""
        order = np.argsort(scores, kind="stable")
        new = np.diff(scores[order], prepend=np.nan) != 0
        return cls(order, np.flatnonzero(new), np.cumsum(new) - 1)

    def summed(self, weights: Matrix) -> Matrix:
        """B × P weights, summed for each group, from the lowest score to the highest."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def ranks(self, weights: Matrix) -> Matrix:
        """B × P: the weighted middle rank of each pair."""
        summed = self.summed(weights)
        middle = np.cumsum(summed, axis=1) - summed / 2
        ranks = np.empty_like(weights)
        ranks[:, self.order] = middle[:, self.group]
        return ranks


def roc_auc(scores: Ranking, positive: NDArray[np.bool_], weights: Matrix) -> Matrix:
    """Area under the ROC curve, B; ties count half (Mann and Whitney 1947). NaN where one side is empty."""
    up, down = scores.summed(weights * positive), scores.summed(weights * ~positive)
    below = np.cumsum(down, axis=1) - down / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (up * below).sum(1) / (up.sum(1) * down.sum(1))


def average_precision(scores: Ranking, positive: NDArray[np.bool_], weights: Matrix) -> Matrix:
    """Precision summed over the steps of recall, B; NaN where nothing is positive."""
    up, every = scores.summed(weights * positive)[:, ::-1], scores.summed(weights)[:, ::-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.cumsum(up, axis=1) / np.cumsum(every, axis=1)
        return np.nansum(precision * up, axis=1) / np.where(up.sum(1) > 0, up.sum(1), np.nan)


def spearman(a: Ranking, b: Ranking, weights: Matrix) -> Matrix:
    """Rank correlation, B: Pearson's of the middle ranks. NaN where all scores are equal."""
    x, y = a.ranks(weights), b.ranks(weights)
    total = weights.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (side - (weights * side).sum(1, keepdims=True) / total for side in (x, y))
        covariance = (weights * x * y).sum(1)
        return covariance / np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
