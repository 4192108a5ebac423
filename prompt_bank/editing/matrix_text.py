"""Short texts about affinities and their changes, for the terminal and the review page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_LISTED = 10
"""The maximum number of cells that are listed; further ones are counted."""

NamedCells = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class CellChange:
    """A changed cell.

    Attributes:
        cell: for example "fork × street".
        before: the formatted number before the change.
        after: the formatted number after the change.
    """

    cell: str
    before: str
    after: str


def cell_changes(before: NamedCells | None, after: NamedCells | None) -> tuple[list[CellChange], list[str]]:
    """The changes of a matrix: the first changed cells, and counts such as "3 more", "2 new", "1 gone".

    Args:
        before: {label: {value: number}}, the differing cells before the change, as in `diff.Change`.
        after: the differing cells after the change.
    """
    old, new = _flat(before), _flat(after)
    both = [key for key in old if key in new]
    first = [CellChange(f"{a} × {v}", format_lift(old[a, v]), format_lift(new[a, v])) for a, v in both[:MAX_LISTED]]
    counts = {"more": len(both) - len(first), "new": len(new) - len(both), "gone": len(old) - len(both)}
    return first, [f"{count} {what}" for what, count in counts.items() if count]


def format_lift(lift: float | None) -> str:
    """A log-lift with sign and two decimals."""
    return "not asked" if lift is None else f"{lift:+.2f}"


def matrix_size(cells: NamedCells) -> str:
    """The size of a matrix, for example "80 labels × 36 values"."""
    values = {value for row in cells.values() for value in row}
    return f"{len(cells)} labels × {len(values)} values"


def _flat(cells: NamedCells | None) -> dict[tuple[str, str], Any]:
    return {(label, value): x for label, row in (cells or {}).items() for value, x in row.items()}
