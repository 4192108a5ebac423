"""A table as text: one layout for the terminal, Markdown, LaTeX and the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainer.reproducing.grid import Plan
from trainer.reproducing.paper import ORIENTATION
from trainer.reproducing.table import SHOWN, Mean, RowResult, TableResult

NONE = "–"
"""In place of a figure that is not there."""


@dataclass(frozen=True)
class Line:
    """A line of the sheet.

    Attributes:
        key: of its row.
        title: its first column.
        values: the others.
        best: whether each of them is the best of its column.
        released: the row is a released variant.
    """

    key: str
    title: str
    values: tuple[str, ...]
    best: tuple[bool, ...]
    released: bool


@dataclass(frozen=True)
class Sheet:
    """Headings and lines, with what a reader must know."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def sheet(result: TableResult, title: str) -> Sheet:
    """The sheet of a table."""
    columns = [_column(result, row) for row in result.rows]
    headings = tuple(columns[0]) if columns else ()
    best = {name: _best(name, result) for name in headings}
    lines = []
    for row, values in zip(result.rows, columns, strict=True):
        marks = tuple(best[name] == row.row.key for name in headings)
        lines.append(Line(row.row.key, row.row.title, tuple(values.values()), marks, row.row.variant == "released"))
    return Sheet(title, headings, tuple(lines), tuple(notes(result)))


def point_text(point: int | None) -> str:
    """A point as a heading."""
    return "" if point is None else f"{point} %"


def mean_text(mean: Mean | None) -> str:
    """Mean ± standard deviation, in per cent with one decimal."""
    if mean is None:
        return NONE
    return f"{mean.mean:.1f}" if mean.deviation is None else f"{mean.mean:.1f} ± {mean.deviation:.1f}"


def _column(result: TableResult, row: RowResult) -> dict[str, str]:
    """The values of a row by heading."""
    found = {name: mean_text(row.averages[name]) for name in SHOWN}
    if any(one.averages["spurious"] for one in result.rows):
        found["spurious"] = mean_text(row.averages["spurious"])
    found |= _beside_the_released(result, row) | _beside_the_paper(result, row)
    if len(result.plan.points) > 1:
        found |= {point_text(p): _plain(row.points["mAP"].get(p)) for p in result.plan.points}
    found["s/cell"] = NONE if row.cpu_seconds is None else f"{row.cpu_seconds:.0f}"
    found["cells"] = f"{row.done}/{row.cells}" + (f", {row.failed} failed" if row.failed else "")
    return found


def _beside_the_released(result: TableResult, row: RowResult) -> dict[str, str]:
    """By how much a method is better without its published program's faults; empty if the table has none of those."""
    released = {one.row.published: one for one in result.rows if one.row.variant == "released"}
    if not released:
        return {}
    theirs = released.get(row.row.published) if row.row.variant == "clean" and row.row.published else None
    own, other = row.averages["mAP"], theirs.averages["mAP"] if theirs else None
    return {"clean − released": NONE if own is None or other is None else f"{own.mean - other.mean:+.1f}"}


def _beside_the_paper(result: TableResult, row: RowResult) -> dict[str, str]:
    if not any(one.paper for one in result.rows):
        return {}
    if not result.same_data:
        rank = {"rank": _rank(row.rank), "paper's rank": _rank(row.paper_rank)}
        return {**rank, "paper": f"{row.paper['mAP']:.1f}" if row.paper else NONE}
    found = {}
    for name in SHOWN:
        if any(name in one.paper for one in result.rows):
            own, paper = row.averages[f"{name} as published"], row.paper.get(name)
            found[f"{name}, paper"] = NONE if paper is None else f"{paper:.1f}"
            found[f"{name}, ours − paper"] = NONE if own is None or paper is None else f"{own.mean - paper:+.1f}"
    return found


def _plain(mean: Mean | None) -> str:
    return NONE if mean is None else f"{mean.mean:.1f}"


def _rank(rank: float | None) -> str:
    return NONE if rank is None else f"{rank:g}"


def _best(name: str, result: TableResult) -> str | None:
    """The key of the row with the highest figure of a column; None for other columns."""
    values: dict[str, float] = {}
    for row in result.rows:
        points = {point_text(p): mean for p, mean in row.points["mAP"].items() if p is not None}
        mean = row.averages[name] if name in SHOWN else points.get(name)
        if mean is not None:
            values[row.row.key] = mean.mean
    return max(values, key=lambda key: values[key]) if len(values) > 1 else None


def notes(result: TableResult) -> Iterator[str]:
    """What a reader of the table must know."""
    plan = result.plan
    seeds = "1 seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
    yield (
        f"{plan.dataset}, {seeds}: mean ± standard deviation over seeds; under a point: mAP there. CF1 and OF1 at a "
        "threshold chosen on validation images. s/cell: processor seconds of a run"
    )
    if any(row.averages["spurious"] for row in result.rows):
        yield (
            "spurious: by how many points more often a label is claimed wrongly where another one is present that a "
            "site's images tie to it, over the points where sites tie labels; 0 is best"
        )
    yield from _protocol(plan)
    if any(row.paper for row in result.rows):
        yield from _on_the_paper(result)
    for title in plan.left_out:
        yield f"left out: {title}: the bank has no attributes of labels (fedmpt mine-attributes --bank)"
    for row in result.rows:
        for reason in row.reasons:
            yield f"failed: {row.row.title}: {reason}"


def _protocol(plan: Plan) -> Iterator[str]:
    if plan.dataset == "scenes":
        points = ", ".join(f"{point} %" for point in plan.points if point is not None)
        yield (
            "the drawn world and its toy CLIP, cut down for a laptop: 12 rounds, batches of 50, each seed a world"
            f"{f', only {points}' if points else ''}; the same for every method. A row that trains nothing is measured "
            "once per seed"
        )
    if plan.tuned:
        yield "each row tuned with as many tries, on validation images that are not the table's"


def _on_the_paper(result: TableResult) -> Iterator[str]:
    if result.same_data:
        yield "differences: each figure at the best of nine thresholds on the test images, as the paper reports it"
        return
    name = ORIENTATION[result.plan.table]
    yield f"paper: mAP on {name}, other data, for its order only: ranks among the rows that the paper has"
    for variant, value in result.correlation.items():
        yield f"rank correlation of the {variant} rows with the paper's order (Spearman): {value:+.2f}"
