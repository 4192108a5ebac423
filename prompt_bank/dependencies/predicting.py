"""Predicts dependencies between labels from the affinities of a bank. C labels, V values of a condition.

Labels that are usual under the same values are predicted to occur together. No images are used.
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
"""The minimum share of a pair's positive log-lifts' product for a value to be listed in a Carrier."""


@dataclass(frozen=True)
class Carrier:
    """A condition that contributes to the dependency between two labels.

    Attributes:
        condition: its id.
        text: its words.
        score: the standardised score of the pair under this condition: standard deviations above the mean; positive.
        values: the contributing values, each with its share of the product of the pair's positive log-lifts, in
            descending order.
    """

    condition: str
    text: str
    score: float
    values: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        return f"{self.text} = {', '.join(value for value, _ in self.values)}"


@dataclass(frozen=True)
class DerivedDependencies:
    """The dependencies derived from a bank.

    Attributes:
        labels: C names, in the bank's order.
        conditions: the active conditions that have an affinity.
        positive: for each condition C × V: the positive log-lifts of each label; they tell which values carry a pair.
        scores: for each condition C × C, standardised over the pairs; symmetric, 0 on the diagonal.
        total: C × C, their weighted sum.
    """

    labels: tuple[str, ...]
    conditions: tuple[Condition, ...]
    positive: tuple[Matrix, ...]
    scores: tuple[Matrix, ...]
    total: Matrix

    def carriers(self, a: str, b: str) -> tuple[Carrier, ...]:
        """The conditions and values that contribute to a dependency, in descending order of their scores.

        Raises:
            ValueError: the bank has no such label.
        """
        i, j = self.labels.index(a), self.labels.index(b)
        found = []
        for condition, lifts, scores in zip(self.conditions, self.positive, self.scores, strict=True):
            parts = lifts[i] * lifts[j]
            if scores[i, j] <= 0 or not parts.any():
                continue
            shares = parts / parts.sum()
            order = [v for v in np.argsort(-shares, kind="stable") if shares[v] >= min(MIN_SHARE, shares.max())]
            values = tuple((condition.values[v], round(float(shares[v]), 4)) for v in order)
            found.append(Carrier(condition.id, condition.text, round(float(scores[i, j]), 4), values))
        return tuple(sorted(found, key=lambda carrier: -carrier.score))

    def pairs(self, label: str | None = None) -> list[tuple[str, str, float]]:
        """All pairs, or those of one label, with their scores, in descending order."""
        chosen = [(a, b) for a, b in combinations(range(len(self.labels)), 2) if label in (None, *self._names(a, b))]
        scored = [(*self._names(a, b), float(self.total[a, b])) for a, b in chosen]
        return sorted(scored, key=lambda pair: -pair[2])

    def _names(self, a: int, b: int) -> tuple[str, str]:
        return self.labels[a], self.labels[b]


def predict_scores(bank: Bank, weights: Mapping[str, float] | None = None) -> Matrix:
    """The predicted strength of dependency of each pair of labels: C × C, symmetric, 0 on the diagonal.

    Scores are sums of standardised cosine similarities, not log-lifts; they are comparable within one bank only.

    Args:
        bank: a bank with affinities.
        weights: weights of conditions by id; 1 by default.

    Raises:
        BankError: no active condition has an affinity, or a weight names an unknown condition.
    """
    return derive_dependencies(bank, weights).total


def carriers(bank: Bank, a: str, b: str) -> tuple[Carrier, ...]:
    """The conditions and values that contribute to a dependency, in descending order of their scores.

    Raises:
        BankError: no active condition has an affinity, or there is no such label.
    """
    found = derive_dependencies(bank)
    for label in (a, b):
        if label not in found.labels:
            message = f"there is no label '{label}'; there are {suggestions(label, found.labels)}"
            raise BankError(bank.name, [Problem("labels", message)])
    return found.carriers(a, b)


def derive_dependencies(bank: Bank, weights: Mapping[str, float] | None = None) -> DerivedDependencies:
    """The dependencies derived from a bank; see `predict_scores`."""
    conditions = conditions_with_affinity(bank)
    if not conditions:
        message = "no active condition has an affinity; mine again, or set some cells by hand"
        raise BankError(bank.name, [Problem("conditions", message)])
    known = [c.id for c in conditions]
    for name in weights or {}:
        if name not in known:
            message = f"there is no active condition '{name}' with an affinity; there are {suggestions(name, known)}"
            raise BankError(bank.name, [Problem("conditions", message)])
    labels = tuple(label.name for label in bank.labels)
    positive = tuple(np.maximum(lift_matrix(condition, labels), 0.0) for condition in conditions)
    scores = tuple(pair_scores(profiles(condition, labels)) for condition in conditions)
    total = np.zeros((len(labels), len(labels)))
    for condition, score in zip(conditions, scores, strict=True):
        total += (weights or {}).get(condition.id, 1.0) * score
    return DerivedDependencies(labels, conditions, positive, scores, total)


def conditions_with_affinity(bank: Bank) -> tuple[Condition, ...]:
    """The active conditions that have an affinity.

    Raises:
        BankError: the bank has no active condition.
    """
    return tuple(condition for condition in active_conditions(bank)[0] if condition.affinity)


def lift_matrix(condition: Condition, labels: Sequence[str]) -> Matrix:
    """The log-lifts of an affinity, C × V; 0 (neither usual nor unusual) if not asked."""
    rows = condition.affinity.rows if condition.affinity else {}
    nothing: tuple[float | None, ...] = (None,) * len(condition.values)
    numbers = [[x or 0.0 for x in rows.get(label, nothing)] for label in labels]
    return np.array(numbers, dtype=np.float64).reshape(len(labels), len(condition.values))


def profiles(condition: Condition, labels: Sequence[str]) -> Matrix:
    """C × V unit rows of softplus(log-lift) = log(1 + exp(log-lift)); 0 where nothing was asked.

    Softplus, so that low values hardly count: shared absence is no evidence of a dependency. A hard cut at 0 would lose
    what is nearly typical.
    """
    rows = condition.affinity.rows if condition.affinity else {}
    nothing: tuple[float | None, ...] = (None,) * len(condition.values)
    asked = np.array([[x is not None for x in rows.get(label, nothing)] for label in labels])
    soft = np.logaddexp(0.0, lift_matrix(condition, labels))
    soft = np.where(asked.reshape(soft.shape), soft, 0.0)
    length = np.linalg.norm(soft, axis=1, keepdims=True)
    return np.divide(soft, length, out=np.zeros_like(soft), where=length > 0)


def pair_scores(profiles: Matrix) -> Matrix:
    """The cosine similarity of each pair of rows, standardised over the known pairs; 0 if all are equal.

    Args:
        profiles: C × V, rows of unit norm; a row of zeros is an unknown label, whose pairs get 0, the mean.
    """
    known = np.abs(profiles).sum(axis=1) > 0
    cosine = profiles @ profiles.T
    a, b = np.triu_indices(len(cosine), 1)
    pairs = cosine[a, b][known[a] & known[b]]
    spread = pairs.std() if len(pairs) else 0.0
    scores = (cosine - pairs.mean()) / spread if spread > 1e-12 else np.zeros_like(cosine)
    scores *= np.outer(known, known)
    np.fill_diagonal(scores, 0.0)
    return scores
