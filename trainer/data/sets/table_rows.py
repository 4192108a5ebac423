"""The rows of users' tables in all supported formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common import tables
from fedmpt.common.words import split_names
from trainer.data.base import UNKNOWN
from trainer.data.coco_json import read_coco
from trainer.errors import TrainerError

PATHS = ("path", "image", "file", "file_name", "filename")
LABELS = ("labels", "label", "tags")
SITE, SPLIT, UNKNOWNS = "site", "split", "unknown"
CELLS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": UNKNOWN, "-1.0": UNKNOWN, "?": UNKNOWN, "": UNKNOWN}


@dataclass(frozen=True)
class Row:
    """A table's entry of an image.

    Attributes:
        place: its location in the file, "line 3" or "images[2]" for instance.
        path: relative to the data root, with forward slashes.
        labels: the positive labels.
        unknown: labels without a decision.
        site: the owning site; "" if not given.
        split: as written; "" if not given.
    """

    place: str
    path: str
    labels: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    site: str = ""
    split: str = ""


def csv_rows(path: Path) -> tuple[tuple[str, ...], Iterator[Row]]:
    """A table with a column of label lists, or with one column per label: 1, 0, and -1, ? or empty if unknown.

    Returns:
        The labels in the order of their columns (empty for a column of label lists), and the rows.

    Raises:
        TrainerError: no column of paths or of labels.
    """
    rows = tables.rows(path, same_width=True)
    _, header = next(rows, (0, [""]))
    lower = [cell.lower() for cell in header]
    at = _first(lower, PATHS)
    if at is None:
        raise TrainerError(f"{path}: no column of paths ({', '.join(PATHS)}) in the first line")
    listed = _first(lower, LABELS)
    special = {name: lower.index(name) for name in (SITE, SPLIT, UNKNOWNS) if name in lower}
    if listed is not None:
        return (), _with_cells(rows, at, listed, special)
    columns = [i for i in range(len(header)) if i != at and i not in special.values()]
    if not columns:
        raise TrainerError(f"{path}: no column of labels, and no columns that are labels")
    return tuple(header[i] for i in columns), _with_columns(path, rows, header, at, columns, special)


def _with_cells(rows: Iterator[tuple[int, list[str]]], at: int, listed: int, special: dict[str, int]) -> Iterator[Row]:
    for line, row in rows:
        unknown = tuple(split_names(row[special[UNKNOWNS]])) if UNKNOWNS in special else ()
        yield Row(
            f"line {line}", _path(row[at]), tuple(split_names(row[listed])), unknown, *_site_and_split(row, special)
        )


def _with_columns(
    path: Path,
    rows: Iterator[tuple[int, list[str]]],
    header: list[str],
    at: int,
    columns: list[int],
    special: dict[str, int],
) -> Iterator[Row]:
    for line, row in rows:
        values = {}
        for column in columns:
            if row[column] not in CELLS:
                said = f"{row[column][:40]!r} under '{header[column][:40]}' is not 1, 0, -1 or ?"
                raise TrainerError(f"{path}, line {line}: {said}; call the column of labels 'labels'")
            values[header[column]] = CELLS[row[column]]
        shown, unknown = (tuple(name for name, v in values.items() if v == wanted) for wanted in (1, UNKNOWN))
        yield Row(f"line {line}", _path(row[at]), shown, unknown, *_site_and_split(row, special))


def jsonl_rows(path: Path) -> Iterator[Row]:
    """One object per line: path, labels, and optionally site, split, unknown.

    Raises:
        TrainerError: a line that is not such an object.
    """
    for number, line in tables.lines(path):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise TrainerError(f"{path}, line {number}: not JSON ({error})") from error
        yield _row(path, f"line {number}", value, ("path", "labels"))


def coco_rows(path: Path, crowd: str) -> tuple[tuple[str, ...], Iterator[Row]]:
    """COCO JSON, whose images may have site, split, and unknown (category names).

    Raises:
        TrainerError: not COCO JSON.
    """
    read = read_coco(path, crowd)

    def rows() -> Iterator[Row]:
        for index, (image, values) in enumerate(zip(read.images, read.labels, strict=True)):
            shown, unknown = ([read.names[c] for c in np.flatnonzero(values == v)] for v in (1, UNKNOWN))
            marked = image.get(UNKNOWNS, [])
            value = {
                "path": image["file_name"],
                "labels": shown,
                UNKNOWNS: unknown + marked if isinstance(marked, list) else marked,
                **{key: image[key] for key in (SITE, SPLIT) if key in image},
            }
            yield _row(path, f"images[{index}]", value, ("file_name", "labels"))

    return read.names, rows()


def _row(path: Path, place: str, value: Any, needed: tuple[str, str]) -> Row:
    match value:
        case {"path": str(file), "labels": [*labels]} if all(
            isinstance(x, str) for x in (*labels, *_texts(value.get(UNKNOWNS, [])))
        ):
            site, split = value.get(SITE, ""), value.get(SPLIT, "")
            if isinstance(site, str | int) and isinstance(split, str):
                return Row(place, _path(file), tuple(labels), tuple(value.get(UNKNOWNS, [])), str(site), split)
    wanted = f"{needed[0]} (a text) and {needed[1]} (a list of texts), and if there are any site, split and unknown"
    raise TrainerError(f"{path}, {place}: expected {wanted}")


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _first(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _site_and_split(row: list[str], special: dict[str, int]) -> tuple[str, str]:
    site, split = (row[special[name]] if name in special else "" for name in (SITE, SPLIT))
    return site, split


def _path(text: str) -> str:
    return text.replace("\\", "/").removeprefix("./")
