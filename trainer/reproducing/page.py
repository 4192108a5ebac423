"""index.html: a self-contained page with all tables of a folder, and curves over t, masks and participation.

Each table leaves TABLE-DATASET.json, from which the page is written, so that it grows table by table.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedmpt.common.files import write_atomically
from trainer.report.charts import AREA, Chart, line_chart
from trainer.report.templates import page_environment
from trainer.reproducing.grid import TABLES
from trainer.reproducing.sheet import Sheet
from trainer.reproducing.table import SHOWN, TableResult
from trainer.run.record_types import Count, Name, Percentage, Record, Text
from trainer.run.records import read_record

COLOURS = 14
"""Colours of the page's style."""

Words = Annotated[list[Text], Field(max_length=1000)]


class SheetLine(Record):
    """A line of a table."""

    key: Name
    title: Text
    values: Words
    best: list[bool]
    released: bool


class Curve(Record):
    """A row's figures over the points."""

    key: Name
    title: Text
    released: bool
    points: dict[Name, list[tuple[Count, Percentage]]]
    """(point, mean) by figure."""


class TableRecord(Record):
    """TABLE-DATASET.json."""

    table: Name
    dataset: Name
    title: Text
    headings: Words
    lines: list[SheetLine]
    notes: Words
    axis: Text = ""
    curves: list[Curve] = Field(default_factory=list)


def record_of(sheet: Sheet, table: str, dataset: str, result: TableResult | None = None) -> TableRecord:
    """What the page needs of a table; with its result, also the curves."""
    lines = [
        SheetLine(
            key=line.key, title=line.title, values=list(line.values), best=list(line.best), released=line.released
        )
        for line in sheet.lines
    ]
    shown = TableRecord(
        table=table,
        dataset=dataset,
        title=sheet.title,
        headings=list(sheet.headings),
        lines=lines,
        notes=list(sheet.notes),
    )
    if result is None or len(result.plan.points) < 2:
        return shown
    return shown.model_copy(update={"axis": TABLES[result.plan.table].axis, "curves": _curves(result)})


def _curves(result: TableResult) -> list[Curve]:
    found = []
    for row in result.rows:
        points = {
            name: [(point, mean.mean) for point, mean in row.points[name].items() if point is not None]
            for name in SHOWN
        }
        if all(points.values()):
            released = row.row.variant == "released"
            found.append(Curve(key=row.row.key, title=row.row.title, released=released, points=points))
    return found


def write_page(record: TableRecord, out: Path) -> list[Path]:
    """Keep a table's record, and write the page of all tables that the folder has.

    Raises:
        FedmptError: a record is damaged.
    """
    kept = out / f"{record.table}-{record.dataset}.json"
    write_atomically(kept, json.dumps(record.model_dump(), indent=1, ensure_ascii=False) + "\n")
    files = [path for table in TABLES for path in sorted(out.glob(f"{table}-*.json"))]
    tables = [read_record(path, TableRecord)[1] for path in files]
    page = page_environment().get_template("tables.html.j2")
    sections = [(table, _charts(table)) for table in tables]
    content = page.render(sections=sections, colour=_colours(tables), area=AREA)
    path = out / "index.html"
    write_atomically(path, content)
    return [kept, path]


def _colours(tables: list[TableRecord]) -> dict[str, int]:
    """A colour for each method, the same in all tables and for its released variant; the first for FedMPT."""
    keys = dict.fromkeys(curve.key.removesuffix("-released") for table in tables for curve in table.curves)
    order = {key: number for number, key in enumerate(sorted(keys, key=lambda key: key != "fedmpt"))}
    every = {curve.key for table in tables for curve in table.curves}
    return {key: order[key.removesuffix("-released")] % COLOURS for key in every}


def _charts(table: TableRecord) -> list[Chart]:
    if not table.curves:
        return []
    points = sorted({point for curve in table.curves for point, _ in curve.points["mAP"]})
    return [
        line_chart(f"{name} (%)", {curve.title: curve.points[name] for curve in table.curves}, points) for name in SHOWN
    ]
