"""What truly occurs together in the natural world, computed from its rules without drawing anything.

Tied pairs are independent of each other once the circumstances are known, but for the number of labels, which is from 1
to `MOST_LABELS`. So every probability is a sum over circumstances and over what the other pairs may add up to. Shape
letters: X = M·P·L·A circumstances, G pairs, C = 2 G labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.data.scenes.natural import CONDITIONS, Circumstances
from trainer.data.scenes.rules import MOST_LABELS


@dataclass(frozen=True)
class Occurrence:
    """How often labels occur, alone and together.

    Attributes:
        single: (C,) P(a).
        pairs: (C, C) P(a, b); the diagonal is P(a).
    """

    single: np.ndarray
    pairs: np.ndarray

    def lift(self) -> np.ndarray:
        """(C, C) P(a, b) / (P(a) P(b)); 1 where two labels are independent, nan where one never occurs."""
        expected = np.outer(self.single, self.single)
        return np.divide(self.pairs, expected, out=np.full_like(expected, np.nan), where=expected > 0)


def occurrence(circumstances: Circumstances) -> Occurrence:
    """What occurs together under these circumstances, exactly."""
    pairs = np.einsum("x,xab->ab", circumstances.weights.ravel(), _together(circumstances))
    return Occurrence(pairs.diagonal().copy(), pairs)


def by_value(circumstances: Circumstances, condition: str) -> dict[str, tuple[float, np.ndarray]]:
    """For each value of a condition P(value), and (C,) P(label | value), exactly; values that never occur are left out.

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
    """(X, C, C) P(a, b | circumstances, 1 ≤ number of labels ≤ MOST_LABELS); the diagonal is P(a | …)."""
    alone, both = _pair_by_pair(circumstances)
    counts = _counts(alone[:, circumstances.pairs].sum(-1), both)
    # up_to[n][x, a, b]: probability that the pairs without a and b have n labels or fewer.
    pair_of = np.empty(alone.shape[1], int)
    pair_of[circumstances.pairs] = np.arange(len(circumstances.pairs))[:, None]
    up_to = np.moveaxis(counts.cumsum(-1)[:, pair_of][:, :, pair_of], -1, 0)
    both = both[:, pair_of]
    a_alone, b_alone, a_both, b_both = alone[:, :, None], alone[:, None], both[:, :, None], both[:, None]
    apart = (
        a_alone * b_alone * up_to[MOST_LABELS - 2]
        + (a_alone * b_both + a_both * b_alone) * up_to[MOST_LABELS - 3]
        + a_both * b_both * up_to[MOST_LABELS - 4]
    )
    partners = a_both * up_to[MOST_LABELS - 2]
    itself = a_alone * up_to[MOST_LABELS - 1] + partners
    same_pair, same = pair_of[:, None] == pair_of, np.eye(len(pair_of), dtype=bool)
    found = np.where(same, itself, np.where(same_pair, partners, apart))
    return found / _allowed(alone[:, circumstances.pairs].sum(-1), both[:, circumstances.pairs[:, 0]])[:, None, None]


def _pair_by_pair(circumstances: Circumstances) -> tuple[np.ndarray, np.ndarray]:
    """(X, C) probability that a label comes without its partner, and (X, C / 2) that both of a pair come."""
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
    """(X, G, G, MOST_LABELS + 1) how likely each number of labels is in all pairs but two of them.

    Args:
        one, two: (X, G) probability that one label, or both, of a pair come.
    """
    pairs = one.shape[1]
    counts = np.zeros((len(one), pairs, pairs, MOST_LABELS + 1))
    counts[..., 0] = 1
    for pair in range(pairs):
        others = np.arange(pairs) != pair
        counted = others[:, None] & others
        counts = _one_more(counts, one[:, pair, None, None] * counted, two[:, pair, None, None] * counted)
    return counts


def _allowed(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(X,) how likely 1 to MOST_LABELS labels are."""
    counts = np.zeros((len(one), MOST_LABELS + 1))
    counts[:, 0] = 1
    for pair in range(one.shape[1]):
        counts = _one_more(counts, one[:, pair], two[:, pair])
    return counts[:, 1:].sum(-1)


def _one_more(counts: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The distribution of a count, (…, n), when one more pair is counted that has one label, or two, so likely (…)."""
    later = counts * (1 - one - two)[..., None]
    later[..., 1:] += counts[..., :-1] * one[..., None]
    later[..., 2:] += counts[..., :-2] * two[..., None]
    return later
