"""True label co-occurrence probabilities of the natural world, computed exactly from its rules.

Given the circumstances, the pairs of labels are independent except for the limit of 1 to `MAX_LABELS` labels. So every
probability is a sum over circumstances and over the possible numbers of labels in the other pairs. Shape letters:
X = M·P·L·A circumstances, G pairs, C = 2 G labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.data.scenes.natural import CONDITIONS, Circumstances
from trainer.data.scenes.rules import MAX_LABELS


@dataclass(frozen=True)
class Occurrence:
    """Probabilities of single labels and of pairs.

    Attributes:
        single: (C,) P(a).
        pairs: (C, C) P(a, b); the diagonal is P(a).
    """

    single: np.ndarray
    pairs: np.ndarray

    def lift(self) -> np.ndarray:
        """(C, C) P(a, b) / (P(a) P(b)); 1 if two labels are independent, NaN if one never occurs."""
        expected = np.outer(self.single, self.single)
        return np.divide(self.pairs, expected, out=np.full_like(expected, np.nan), where=expected > 0)


def occurrence(circumstances: Circumstances) -> Occurrence:
    """The exact label probabilities under the given circumstances."""
    pairs = np.einsum("x,xab->ab", circumstances.weights.ravel(), _together(circumstances))
    return Occurrence(pairs.diagonal().copy(), pairs)


def by_value(circumstances: Circumstances, condition: str) -> dict[str, tuple[float, np.ndarray]]:
    """For each value of a condition the exact P(value) and (C,) P(label | value); only values that occur.

    Args:
        circumstances: of a site, or of the test images.
        condition: "place", "light" or "activity".
    """
    axis = 1 + tuple(CONDITIONS).index(condition)
    weights = circumstances.weights
    single = np.diagonal(_together(circumstances), axis1=1, axis2=2).reshape(*weights.shape, -1)
    shares = np.moveaxis(weights, axis, 0).sum((1, 2, 3))
    seen = np.moveaxis(weights[..., None] * single, axis, 0).sum((1, 2, 3))
    named = zip(CONDITIONS[condition], shares, seen, strict=True)
    return {value: (float(share), row / share) for value, share, row in named if share > 0}


def _together(circumstances: Circumstances) -> np.ndarray:
    """(X, C, C) P(a, b | circumstances, 1 ≤ number of labels ≤ MAX_LABELS); the diagonal is P(a | …)."""
    alone, both = _pair_by_pair(circumstances)
    counts = _counts(alone[:, circumstances.pairs].sum(-1), both)
    # up_to[n][x, a, b]: probability that the pairs other than those of a and b have at most n labels.
    pair_of = np.empty(alone.shape[1], int)
    pair_of[circumstances.pairs] = np.arange(len(circumstances.pairs))[:, None]
    up_to = np.moveaxis(counts.cumsum(-1)[:, pair_of][:, :, pair_of], -1, 0)
    both = both[:, pair_of]
    a_alone, b_alone, a_both, b_both = alone[:, :, None], alone[:, None], both[:, :, None], both[:, None]
    apart = (
        a_alone * b_alone * up_to[MAX_LABELS - 2]
        + (a_alone * b_both + a_both * b_alone) * up_to[MAX_LABELS - 3]
        + a_both * b_both * up_to[MAX_LABELS - 4]
    )
    partners = a_both * up_to[MAX_LABELS - 2]
    itself = a_alone * up_to[MAX_LABELS - 1] + partners
    same_pair, same = pair_of[:, None] == pair_of, np.eye(len(pair_of), dtype=bool)
    found = np.where(same, itself, np.where(same_pair, partners, apart))
    return found / _allowed(alone[:, circumstances.pairs].sum(-1), both[:, circumstances.pairs[:, 0]])[:, None, None]


def _pair_by_pair(circumstances: Circumstances) -> tuple[np.ndarray, np.ndarray]:
    """(X, C) probability of a label without its partner, and (X, C / 2) of both labels of a pair."""
    shape = circumstances.weights.shape
    ties = np.broadcast_to(circumstances.ties[:, None, None, None], shape).reshape(-1, 1)
    chances = circumstances.chances.reshape(ties.shape[0], -1)
    first, second = np.moveaxis(chances[:, circumstances.pairs], -1, 0)
    alone = np.empty_like(chances)
    alone[:, circumstances.pairs[:, 0]] = first * (1 - second)
    alone[:, circumstances.pairs[:, 1]] = second * (1 - first)
    both = first * second + ties / 2 * alone[:, circumstances.pairs].sum(-1)
    return (1 - ties) * alone, both


def _counts(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(X, G, G, MAX_LABELS + 1) distribution of the number of labels in all pairs except two.

    Args:
        one, two: (X, G) probability of exactly one label, and of both labels, of a pair.
    """
    pairs = one.shape[1]
    counts = np.zeros((len(one), pairs, pairs, MAX_LABELS + 1))
    counts[..., 0] = 1
    for pair in range(pairs):
        others = np.arange(pairs) != pair
        counted = others[:, None] & others
        counts = _add_pair(counts, one[:, pair, None, None] * counted, two[:, pair, None, None] * counted)
    return counts


def _allowed(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(X,) probability of 1 to MAX_LABELS labels."""
    counts = np.zeros((len(one), MAX_LABELS + 1))
    counts[:, 0] = 1
    for pair in range(one.shape[1]):
        counts = _add_pair(counts, one[:, pair], two[:, pair])
    return counts[:, 1:].sum(-1)


def _add_pair(counts: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Add a pair to a distribution (…, n) of counts, given the probabilities (…) of one label and of two labels."""
    later = counts * (1 - one - two)[..., None]
    later[..., 1:] += counts[..., :-1] * one[..., None]
    later[..., 2:] += counts[..., :-2] * two[..., None]
    return later
