"""The figures of a grid's finished cells: means over seeds and points, beside the paper's.

All figures are in per cent.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedmpt.common.errors import FedmptError
from trainer.reproducing.grid import Cell, Plan
from trainer.reproducing.lineup import Row
from trainer.reproducing.paper import ORIENTATION, Figures, published
from trainer.reproducing.status import ended, evaluation_of, place

SPURIOUS = "spurious"
"""The figure that not every cell has."""

SOURCES: dict[str, tuple[str, str]] = {
    "mAP": ("test", "mAP"),
    "CF1": ("test", "CF1"),
    "OF1": ("test", "OF1"),
    "CF1 at 0.5": ("test_at_0.5", "CF1"),
    "OF1 at 0.5": ("test_at_0.5", "OF1"),
    "CF1 harmonic": ("test", "CF1_harmonic"),
    SPURIOUS: ("spurious_activation", "mean"),
    "mAP as published": ("test_oracle_thresholds", "mAP"),
    "CF1 as published": ("test_oracle_thresholds", "CF1"),
    "OF1 as published": ("test_oracle_thresholds", "OF1"),
}
"""Figure → where it is in evaluation.json. Spurious activation is in percentage points. "as published": each at the
best of nine thresholds on the test images, and labels without a positive count as 0."""

SHOWN = ("mAP", "CF1", "OF1")
"""The figures in tables for reading; the CSV file has all."""


@dataclass(frozen=True)
class CellResult:
    """A cell and what became of it.

    Attributes:
        cell: the cell.
        status: "done", "failed" or "open".
        reason: why it failed.
        figures: by name in SOURCES; empty unless it is done.
        seconds, cpu_seconds: of its process; None unless it has ended.
    """

    cell: Cell
    status: str
    reason: str = ""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    seconds: float | None = None
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation over seeds; the deviation is None for a single one."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class RowResult:
    """A row of the table.

    Attributes:
        row: the row.
        points: each figure of SHOWN by point.
        averages: over all points, by figure; None unless a seed has all points.
        done, failed, cells: counts.
        reasons: of failures, each once.
        cpu_seconds: processor time per cell; None if no cell has ended.
        paper: the paper's figures; empty if it has none.
        rank, paper_rank: by average mAP among the rows of the same variant that the paper has too, 1 is best; None for
            other rows.
    """

    row: Row
    points: Mapping[str, Mapping[int | None, Mean]]
    averages: Mapping[str, Mean | None]
    done: int
    failed: int
    cells: int
    reasons: tuple[str, ...]
    cpu_seconds: float | None
    paper: Figures
    rank: float | None = None
    paper_rank: float | None = None


@dataclass(frozen=True)
class TableResult:
    """A table with figures.

    Attributes:
        plan: what was computed.
        rows: in the plan's order.
        cells: all of them.
        same_data: the paper's figures are of the same data set, so that differences mean something; otherwise only
            their order is of interest.
        correlation: Spearman's, of our order with the paper's, by variant; None with fewer than three rows.
    """

    plan: Plan
    rows: tuple[RowResult, ...]
    cells: tuple[CellResult, ...]
    same_data: bool
    correlation: Mapping[str, float]

    @property
    def failed(self) -> int:
        """The number of failed cells."""
        return sum(result.status == "failed" for result in self.cells)


def read_results(plan: Plan, cells: Sequence[Cell]) -> list[CellResult]:
    """What became of each cell."""
    return [_result(plan, cell) for cell in cells]


def table_of(plan: Plan, results: Sequence[CellResult]) -> TableResult:
    """The table of some cells' results."""
    same = bool(published(plan.table, plan.dataset)) or plan.dataset != "scenes"
    paper = published(plan.table, plan.dataset if same else ORIENTATION.get(plan.table, ""))
    rows = [_row(plan, row, [one for one in results if one.cell.row == row], paper) for row in plan.rows]
    ranked, correlation = _ranked(rows)
    return TableResult(plan, tuple(ranked), tuple(results), same, correlation)


def mean_of(values: Sequence[float]) -> Mean | None:
    """Mean and sample standard deviation; None of no values."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Mean(statistics.fmean(values), deviation, len(values))


def _result(plan: Plan, cell: Cell) -> CellResult:
    where = place(plan.folder, cell)
    try:
        record = ended(where)
        if record is None:
            return CellResult(cell, "open")
        if record.status == "failed":
            return CellResult(cell, "failed", record.reason, {}, record.seconds, record.cpu_seconds)
        found = evaluation_of(where)
        # A part is null where it has no meaning: without label pairs that sites tie, no spurious activation.
        figures = {name: (found[part] or {}).get(key) for name, (part, key) in SOURCES.items()}
        return CellResult(cell, "done", "", figures, record.seconds, record.cpu_seconds)
    except FedmptError as error:
        return CellResult(cell, "failed", str(error))


def _row(plan: Plan, row: Row, results: Sequence[CellResult], paper: Mapping[str, Figures]) -> RowResult:
    done = [one for one in results if one.status == "done"]
    times = [one.cpu_seconds for one in results if one.cpu_seconds is not None]
    points = plan.points[:1] if row.fixed else plan.points
    return RowResult(
        row=row,
        points={name: _by_point(plan, row, done, name) for name in SHOWN},
        averages={name: mean_of(_complete(done, name, len(points))) for name in SOURCES},
        done=len(done),
        failed=sum(one.status == "failed" for one in results),
        cells=len(results),
        reasons=tuple(dict.fromkeys(one.reason for one in results if one.reason)),
        cpu_seconds=statistics.fmean(times) if times else None,
        paper=paper.get(row.published or "", {}),
    )


def _by_point(plan: Plan, row: Row, done: Sequence[CellResult], name: str) -> dict[int | None, Mean]:
    """The mean over seeds at each point that has any; that of a row without training is the same at all."""
    found = {}
    for point in plan.points:
        measured = plan.points[0] if row.fixed else point
        if (mean := mean_of(_values(done, name, measured))) is not None:
            found[point] = mean
    return found


def _values(done: Sequence[CellResult], name: str, point: int | None) -> list[float]:
    return [value for one in done if one.cell.point == point and (value := one.figures[name]) is not None]


def _complete(done: Sequence[CellResult], name: str, points: int) -> list[float]:
    """The average over the points of each seed that has them all.

    Spurious activation has no value where no site ties labels together, so it is averaged over the points that have it.
    """
    averages = []
    for seed in sorted({one.cell.seed for one in done}):
        cells = [one for one in done if one.cell.seed == seed]
        values = [value for one in cells if (value := one.figures[name]) is not None]
        if values and len(cells if name == SPURIOUS else values) == points:
            averages.append(statistics.fmean(values))
    return averages


def _ranked(rows: Sequence[RowResult]) -> tuple[list[RowResult], dict[str, float]]:
    """The rows with their ranks among those of their variant that the paper has, and the correlation of the orders."""
    found: dict[str, dict[str, Any]] = {}
    correlation: dict[str, float] = {}
    for variant in ("clean", "released"):
        if all(row.row.variant != variant for row in rows):
            continue
        group = [row for row in rows if row.row.variant in (variant, "only")]
        both = [row for row in group if "mAP" in row.paper and row.averages["mAP"]]
        ours = _ranks([mean.mean for row in both if (mean := row.averages["mAP"])])
        theirs = _ranks([row.paper["mAP"] for row in both])
        for row, rank, paper_rank in zip(both, ours, theirs, strict=True):
            found.setdefault(row.row.key, {"rank": rank, "paper_rank": paper_rank})
        if len(both) > 2 and len(set(ours)) > 1 and len(set(theirs)) > 1:
            correlation[variant] = float(np.corrcoef(ours, theirs)[0, 1])
    return [RowResult(**{**row.__dict__, **found.get(row.row.key, {})}) for row in rows], correlation


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1 for the highest; equal values share their mean rank."""
    return [
        1 + sum(other > value for other in values) + (sum(other == value for other in values) - 1) / 2
        for value in values
    ]
