"""The rows of users' tables in all supported formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common import tables
from fedmpt.common.cells import MARKS, CellError, split_names
from fedmpt.common.foreign_json import read_json_lines
from trainer.data.base import UNKNOWN
from trainer.data.coco_json import read_coco
from trainer.errors import TrainerError

PATHS = ("path", "image", "file", "file_name", "filename")
LABELS = ("labels", "label", "tags")
SITE, SPLIT, UNKNOWNS = "site", "split", "unknown"
MAX_TABLE_BYTES = 10**9
"""The largest file of JSON lines, with millions of images."""

OWN_FIELDS_OF_COCO = frozenset(
    (
        *("id", "file_name", "width", "height", "license", "date_captured", "coco_url", "flickr_url", "extra"),
        *(SITE, SPLIT, UNKNOWNS),
    )
)
"""The fields of COCO's images, and ours."""


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


@dataclass
class TableContent:
    """A table's content.

    Attributes:
        names: the labels in the order of the table; empty if it does not define one.
        rows: of its images.
        explicit: whether the format marks names as texts.
        ignored: values of the columns that are not read, by name.
        notes: for users.
    """

    names: tuple[str, ...] = ()
    rows: list[Row] = field(default_factory=list)
    explicit: bool = False
    ignored: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_csv(path: Path) -> TableContent:
    """A table with a column of label lists, or with one column per label: 1, 0, and -1, ? or empty if unknown.

    Raises:
        TrainerError: no column of paths or of labels, or an invalid cell.
        InputFileError: not CSV, or two columns of one name.
    """
    rows = tables.rows(path, same_width=True)
    line, header = next(rows, (1, [""]))
    tables.check_header(path, line, header)
    lower = [cell.lower() for cell in header]
    at = _first(lower, PATHS)
    if at is None:
        raise TrainerError(f"{path}: no column of paths ({', '.join(PATHS)}) in the first line")
    listed = _first(lower, LABELS)
    special = {name: lower.index(name) for name in (SITE, SPLIT, UNKNOWNS) if name in lower}
    others = [i for i, name in enumerate(header) if i not in (at, listed, *special.values())]
    columns = [] if listed is not None else [i for i in others if not tables.is_unnamed(header[i])]
    if listed is None and not columns:
        raise TrainerError(f"{path}: no column of labels, and no columns that are labels")
    found = TableContent(names=tuple(header[i] for i in columns))
    for number, row in rows:
        place = f"line {number}"
        try:
            if listed is not None:
                marked = split_names(row[listed]), split_names(row[special[UNKNOWNS]]) if UNKNOWNS in special else []
            else:
                marked = _marked(header, row, columns)
        except CellError as error:
            raise TrainerError(f"{path}, {place}: {error}") from error
        site, split = (row[special[name]] if name in special else "" for name in (SITE, SPLIT))
        found.rows.append(Row(place, _path(row[at]), tuple(marked[0]), tuple(marked[1]), site, split))
        for i in (i for i in others if i not in columns):
            found.ignored.setdefault(header[i], []).append(row[i])
    return found


def _marked(header: list[str], row: list[str], columns: list[int]) -> tuple[list[str], list[str]]:
    """The labels that a row of a label matrix marks as present, and those that are unknown."""
    values = {}
    for column in columns:
        if row[column].lower() not in MARKS:
            said = f"{row[column][:40]!r} under '{header[column][:40]}' is not 1, 0, -1 or ?"
            raise CellError(f"{said}; call the column of labels 'labels', and that of owners 'site'")
        values[header[column]] = MARKS[row[column].lower()]
    present, unknown = ([name for name, value in values.items() if value == wanted] for wanted in (1, UNKNOWN))
    return present, unknown


def read_jsonl(path: Path) -> TableContent:
    """One object per line: path, labels, and optionally site, split, unknown.

    Raises:
        TrainerError: a line that is not such an object.
        InputFileError: a line that is not JSON.
    """
    found = TableContent(explicit=True)
    for number, value in read_json_lines(path, MAX_TABLE_BYTES):
        place = f"line {number}"
        entry: dict[Any, Any] = value if isinstance(value, dict) else {}
        keys = {str(key).lower(): key for key in entry}
        at, listed = (next((keys[name] for name in names if name in keys), None) for names in (PATHS, LABELS))
        labels = entry.get(listed)
        known = {"path": entry.get(at), "labels": [labels] if isinstance(labels, str) else labels}
        known |= {name: entry[keys[name]] for name in (SITE, SPLIT, UNKNOWNS) if name in keys}
        found.rows.append(_row(path, place, known, ("path", "labels")))
        used = {at, listed, *(keys[name] for name in (SITE, SPLIT, UNKNOWNS) if name in keys)}
        _ignore(found, {key: text for key, text in entry.items() if key not in used})
    return found


def read_coco_table(path: Path, crowd: str) -> TableContent:
    """COCO JSON, whose images may have site, split, and unknown (category names).

    Raises:
        TrainerError, InputFileError: not COCO JSON.
    """
    read = read_coco(path, crowd)
    found = TableContent(names=read.names, explicit=True, notes=list(read.notes))
    for index, (image, values) in enumerate(zip(read.images, read.labels, strict=True)):
        shown, unknown = ([read.names[c] for c in np.flatnonzero(values == v)] for v in (1, UNKNOWN))
        marked = image.get(UNKNOWNS, [])
        value = {
            "path": image["file_name"],
            "labels": shown,
            UNKNOWNS: unknown + marked if isinstance(marked, list) else marked,
            **{key: image[key] for key in (SITE, SPLIT) if key in image},
        }
        found.rows.append(_row(path, f"images[{index}]", value, ("file_name", "labels")))
        _ignore(found, {key: text for key, text in image.items() if key not in OWN_FIELDS_OF_COCO})
    return found


def owner_notes(ignored: dict[str, list[str]], rows: int, has_sites: bool) -> list[str]:
    """Which columns were not read, and which of them looks like the images' owner.

    An owner's column has a value in every row, and at most half as many different ones as there are rows.
    """
    if not ignored:
        return []
    names = ["a column without a name" if tables.is_unnamed(name) else f"'{name[:60]}'" for name in ignored]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    notes = [f"not read from the table: {shown}"]
    for name, values in ignored.items() if not has_sites else ():
        different = len(set(values))
        if not tables.is_unnamed(name) and len(values) == rows and all(values) and 1 < different <= rows / 2:
            notes.append(
                f"'{name[:60]}' has {different} different values, so it could be who owns each image; "
                "call it 'site' to make each of them a client"
            )
    return notes


def _ignore(found: TableContent, values: dict[Any, Any]) -> None:
    for key, value in values.items():
        plain = isinstance(value, str | int) and not isinstance(value, bool)
        found.ignored.setdefault(str(key), []).append(str(value) if plain else "")


def _row(path: Path, place: str, value: Any, needed: tuple[str, str]) -> Row:
    match value:
        case {"path": str(file), "labels": [*labels]} if all(
            isinstance(x, str) for x in (*labels, *_texts(value.get(UNKNOWNS, [])))
        ):
            site, split = value.get(SITE, ""), value.get(SPLIT, "")
            if isinstance(site, str | int) and not isinstance(site, bool) and isinstance(split, str):
                return Row(place, _path(file), tuple(labels), tuple(value.get(UNKNOWNS, [])), str(site), split)
    wanted = f"{needed[0]} (a text) and {needed[1]} (a list of texts), and if there are any, site, split and unknown"
    raise TrainerError(f"{path}, {place}: expected {wanted}")


def _texts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [None]


def _first(header: Sequence[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _path(text: str) -> str:
    return text.replace("\\", "/").removeprefix("./")
