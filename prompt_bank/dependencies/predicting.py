"""Which labels occur together, derived from what a bank says of labels and values. C labels, V values of a condition.

Labels depend on each other through values: two that are usual under the same ones occur together. No image was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fedmpt.common.words import suggestions
from prompt_bank.errors import BankError, Problem
from prompt_bank.prompts.layout import active_conditions
from prompt_bank.schema import Bank, Condition

Matrix = NDArray[np.float64]

MIN_SHARE = 0.1
"""Of a pair's cosine that a value must carry to be named."""


@dataclass(frozen=True)
class Carrier:
    """A condition that ties two labels.

    Attributes:
        condition: its id.
        text: its words.
        score: how far the pair stands above the others under this condition, in standard deviations; above 0.
        values: those that carry it, the most first, with the share of the pair's cosine that each has.
    """

    condition: str
    text: str
    score: float
    values: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        return f"{self.text} = {', '.join(value for value, _ in self.values)}"


@dataclass(frozen=True)
class DerivedDependencies:
    """The dependencies that follow from a bank.

    Attributes:
        labels: C names, in the bank's order.
        conditions: those in use that have an affinity.
        usual: for each condition C × V: what is usual for each label, of length 1, or 0 where nothing is.
        scores: for each condition C × C, standardised over the pairs; symmetric, 0 on the diagonal.
        total: C × C, their weighted sum.
    """

    labels: tuple[str, ...]
    conditions: tuple[Condition, ...]
    usual: tuple[Matrix, ...]
    scores: tuple[Matrix, ...]
    total: Matrix

    def carriers(self, a: str, b: str) -> tuple[Carrier, ...]:
        """The conditions and values that tie two labels, the strongest first.

        Raises:
            ValueError: the bank has no such label.
        """
        i, j = self.labels.index(a), self.labels.index(b)
        found = []
        for condition, usual, scores in zip(self.conditions, self.usual, self.scores, strict=True):
            parts = usual[i] * usual[j]
            if scores[i, j] <= 0 or not parts.any():
                continue
            shares = parts / parts.sum()
            order = [v for v in np.argsort(-shares, kind="stable") if shares[v] >= min(MIN_SHARE, shares.max())]
            values = tuple((condition.values[v], round(float(shares[v]), 4)) for v in order)
            found.append(Carrier(condition.id, condition.text, round(float(scores[i, j]), 4), values))
        return tuple(sorted(found, key=lambda carrier: -carrier.score))

    def pairs(self, label: str | None = None) -> list[tuple[str, str, float]]:
        """All pairs, or those of a label, with their scores, the strongest first."""
        chosen = [(a, b) for a, b in combinations(range(len(self.labels)), 2) if label in (None, *self._names(a, b))]
        scored = [(*self._names(a, b), float(self.total[a, b])) for a, b in chosen]
        return sorted(scored, key=lambda pair: -pair[2])

    def _names(self, a: int, b: int) -> tuple[str, str]:
        return self.labels[a], self.labels[b]


def predict_scores(bank: Bank, weights: Mapping[str, float] | None = None) -> Matrix:
    """How strongly each pair of labels is tied: C × C, symmetric, 0 on the diagonal.

    A score is comparable within the bank alone: it is a sum of standardised cosines, no log-lift.

    Args:
        bank: with affinities.
        weights: of conditions by id; 1 where one is not named.

    Raises:
        BankError: no condition in use has an affinity, or there is no such condition.
    """
    return derive_dependencies(bank, weights).total


def carriers(bank: Bank, a: str, b: str) -> tuple[Carrier, ...]:
    """The conditions and values that tie two labels, the strongest first.

    Raises:
        BankError: no condition in use has an affinity, or there is no such label.
    """
    found = derive_dependencies(bank)
    for label in (a, b):
        if label not in found.labels:
            message = f"there is no label '{label}'; there are {suggestions(label, found.labels)}"
            raise BankError(bank.name, [Problem("labels", message)])
    return found.carriers(a, b)


def derive_dependencies(bank: Bank, weights: Mapping[str, float] | None = None) -> DerivedDependencies:
    """What follows from a bank; see `predicted`."""
    conditions = conditions_with_affinity(bank)
    if not conditions:
        message = "no condition in use says which values are usual for which labels; mine anew, or set some by hand"
        raise BankError(bank.name, [Problem("conditions", message)])
    known = [c.id for c in conditions]
    for name in weights or {}:
        if name not in known:
            message = f"there is no condition '{name}' in use with an affinity; there are {suggestions(name, known)}"
            raise BankError(bank.name, [Problem("conditions", message)])
    labels = tuple(label.name for label in bank.labels)
    usual = tuple(_profiles(lift_matrix(condition, labels)) for condition in conditions)
    scores = tuple(pair_scores(rows) for rows in usual)
    total = np.zeros((len(labels), len(labels)))
    for condition, score in zip(conditions, scores, strict=True):
        total += (weights or {}).get(condition.id, 1.0) * score
    return DerivedDependencies(labels, conditions, usual, scores, total)


def conditions_with_affinity(bank: Bank) -> tuple[Condition, ...]:
    """The conditions in use that have an affinity.

    Raises:
        BankError: no condition is in use.
    """
    return tuple(condition for condition in active_conditions(bank)[0] if condition.affinity)


def lift_matrix(condition: Condition, labels: Sequence[str]) -> Matrix:
    """The affinity's numbers as C × V; 0, so neither usual nor unusual, where nothing was asked."""
    rows = condition.affinity.rows if condition.affinity else {}
    nothing: tuple[float | None, ...] = (None,) * len(condition.values)
    numbers = [[x or 0.0 for x in rows.get(label, nothing)] for label in labels]
    return np.array(numbers, dtype=np.float64).reshape(len(labels), len(condition.values))


def pair_scores(usual: Matrix) -> Matrix:
    """The cosine of each pair of rows, standardised over all pairs of different labels; 0 where all are equal.

    Args:
        usual: C × V, rows of length 1 or 0.
    """
    cosine = usual @ usual.T
    pairs = cosine[np.triu_indices(len(cosine), 1)]
    spread = pairs.std() if len(pairs) else 0.0
    scores = (cosine - pairs.mean()) / spread if spread > 1e-12 else np.zeros_like(cosine)
    np.fill_diagonal(scores, 0.0)
    return scores


def _profiles(matrix: Matrix) -> Matrix:
    """What is usual alone, as rows of length 1: that two labels are both absent somewhere does not tie them."""
    positive = np.maximum(matrix, 0.0)
    length = np.linalg.norm(positive, axis=1, keepdims=True)
    return np.divide(positive, length, out=np.zeros_like(positive), where=length > 0)
