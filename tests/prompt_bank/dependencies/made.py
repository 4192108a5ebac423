"""Banks with computed affinities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prompt_bank.schema import Affinity, Bank, Condition, Label

Matrix = NDArray[np.float64]


def condition(name: str, labels: Sequence[str], values: Sequence[str], matrix: Matrix) -> Condition:
    """A condition with a number for each label and value."""
    rows = {label: tuple(float(x) for x in row) for label, row in zip(labels, matrix, strict=True)}
    return Condition(id=name, text=name, values=tuple(values), affinity=Affinity(rows=rows))


def bank(labels: Sequence[str], conditions: Mapping[str, Matrix], name: str = "made") -> Bank:
    """A bank with values v0, v1, … for each condition."""
    made = (
        condition(name, labels, [f"v{i}" for i in range(matrix.shape[1])], matrix)
        for name, matrix in conditions.items()
    )
    return Bank(name=name, labels=tuple(Label(name=label) for label in labels), conditions=tuple(made))


def factors(lift: Matrix) -> Matrix:
    """C × (pairs + C): softplus makes rows of them, of equal length, whose products are the lifts."""
    size = len(lift)
    pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
    matrix = np.zeros((size, len(pairs) + size))
    for at, (a, b) in enumerate(pairs):
        matrix[a, at] = matrix[b, at] = np.sqrt(lift[a, b])
    lengths = (matrix**2).sum(1)
    matrix[np.arange(size), len(pairs) + np.arange(size)] = np.sqrt(lengths.max() - lengths)
    with np.errstate(divide="ignore"):
        return np.maximum(np.where(matrix < 30, np.log(np.expm1(np.minimum(matrix, 30))), matrix), -100)
