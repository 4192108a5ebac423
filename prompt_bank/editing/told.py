"""A matrix of labels × values in few words, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FEW = 10
"""More cells than these are counted, not listed."""

Named = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class CellChange:
    """A cell that has another number.

    Attributes:
        cell: "fork × street".
        before: the number as people read it.
        after: the same, afterwards.
    """

    cell: str
    before: str
    after: str


def cells_told(before: Named | None, after: Named | None) -> tuple[list[CellChange], list[str]]:
    """What changed in a matrix: the first cells, and in words how many more changed, came and went.

    Args:
        before: {label: {value: number}}, the cells that differ, as a diff has them.
        after: the same cells afterwards.
    """
    old, new = _flat(before), _flat(after)
    both = [key for key in old if key in new]
    first = [CellChange(f"{a} × {v}", number(old[a, v]), number(new[a, v])) for a, v in both[:FEW]]
    counts = {"more": len(both) - len(first), "new": len(new) - len(both), "gone": len(old) - len(both)}
    return first, [f"{count} {what}" for what, count in counts.items() if count]


def number(lift: float | None) -> str:
    """A log-lift as people read it."""
    return "not asked" if lift is None else f"{lift:+.2f}"


def size(cells: Named) -> str:
    """ "80 labels × 36 values" """
    values = {value for row in cells.values() for value in row}
    return f"{len(cells)} labels × {len(values)} values"


def _flat(cells: Named | None) -> dict[tuple[str, str], Any]:
    return {(label, value): x for label, row in (cells or {}).items() for value, x in row.items()}
