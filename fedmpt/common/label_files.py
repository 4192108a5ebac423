"""Reads label files of every format, and checks their names. Invalid names are errors, suspicious ones warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmpt.common import tables, voc_folders
from fedmpt.common.cells import MARKS, CellError, split_names
from fedmpt.common.coco import read_categories
from fedmpt.common.errors import InputFileError
from fedmpt.common.foreign_json import read_json, read_json_lines
from fedmpt.common.json_stream import is_json, is_list, items
from fedmpt.common.label_lists import MAX_TEXT_BYTES, Entry, Source, markdown_list, pbtxt_list, text_list, yaml_list
from fedmpt.common.label_names import check_names, name_error, space_doubts
from fedmpt.common.tables import column_of

NAME_COLUMNS = ("label", "labels", "name", "class", "class_name", "category", "display_name", "tag", "tags")
IMAGE_COLUMNS = ("image", "file", "file_name", "filename", "path", "image_id")
"""Columns of a table with a row per image, whose other columns are labels if they only have marks."""

READERS = {
    ".md": markdown_list,
    ".markdown": markdown_list,
    ".yaml": yaml_list,
    ".yml": yaml_list,
    ".pbtxt": pbtxt_list,
}
OTHER_FORMATS = (".xml", ".html", ".htm", ".toml", ".xlsx", ".xls", ".ods", ".parquet", ".pkl", ".npy", ".zip")


@dataclass(frozen=True)
class LabelNames:
    """The names in a label file.

    Attributes:
        format: name of the detected format.
        names: for each label its name, then its aliases; in the order of the file, COCO's in the order of their ids.
        warnings: suspicious names and what was left out, each with its place.
    """

    format: str
    names: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]


def read_label_names(path: Path, column: str | None = None) -> LabelNames:
    """Read and check the names in a label file.

    Args:
        path: text, Markdown, CSV, JSON, JSON lines, YOLO's YAML, TensorFlow's label map, COCO annotations, or a VOC
            devkit folder. Name and content determine the format.
        column: column of a table: its name in the header, or its number from 1 if there is no header.

    Raises:
        InputFileError: the file is missing, unreadable or empty, or has invalid names, all of which are listed.
    """
    source = read_source(path, column)
    warnings = [*source.notes, *(_drop_repeats(source) if source.repeats else ())]
    entries = [(entry.place, tuple(name.strip() for name in entry.names)) for entry in source.entries]
    problems, doubts = check_names(entries, source.explicit)
    if found := [*source.problems, *problems]:
        raise InputFileError("\n".join(f"{path}, {problem}" for problem in found))
    if not entries:
        raise InputFileError(f"{path}: no labels; write one a line")
    warnings += doubts
    return LabelNames(
        source.format, tuple(names for _, names in entries), tuple(f"{path}, {warning}" for warning in warnings)
    )


def read_source(path: Path, column: str | None = None) -> Source:
    """Read a label file without checking its names; see `read_label_names`.

    Raises:
        InputFileError: the file is missing or unreadable, or has no list of labels.
    """
    if not path.exists():
        raise InputFileError(f"{path}: there is no such label file")
    if column is not None and not tables.is_csv(path):
        raise InputFileError(f"{path}: --column is for .csv and .tsv files")
    suffix = path.suffix.lower()
    if path.is_dir():
        names = voc_folders.class_names(voc_folders.year_folder(path))
        return Source("VOC devkit", [Entry(f"class {name!r}", (name,)) for name in names])
    if is_json(path):
        return _json(path)
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(path)
    if tables.is_csv(path):
        return _csv(path, column)
    if suffix in OTHER_FORMATS:
        raise InputFileError(f"{path}: labels are not read from {suffix}; write one label a line into a .txt file")
    return READERS.get(suffix, text_list)(path)


def _csv(path: Path, column: str | None) -> Source:
    """A column of names, and one of aliases if the header has it; or the columns of a label matrix.

    The first line is a header if it has the requested column, or one with a usual name of label columns.
    """
    source = Source("CSV", repeats=True)
    rows = list(tables.rows(path, same_width=True))
    line, first = rows[0] if rows else (1, [""])
    if column is None and column_of(first, NAME_COLUMNS) is None and _is_matrix(first, rows[1:]):
        tables.check_header(path, line, first)
        named = [name for name in first if not tables.is_unnamed(name) and name.lower() not in IMAGE_COLUMNS]
        return Source("CSV, a column a label", [Entry(f"line {line}", (name,)) for name in named])
    at = _column(path, first, column)
    aliases, several, separated = None, False, False
    if column in first or column_of(first, NAME_COLUMNS) is not None:
        tables.check_header(path, line, first)
        del rows[0]
        aliases, several = column_of(first, ("aliases",)), first[at].lower() in tables.LIST_COLUMNS
    for line, row in rows:
        try:
            also = split_names(row[aliases]) if aliases is not None else []
            names = split_names(row[at]) if several else [row[at]]
        except CellError as error:
            source.problems.append(f"line {line}: {error}")
            continue
        separated = separated or len(names) > 1
        source.entries += [Entry(f"line {line}", (name, *also)) for name in names]
    if several:
        source.notes += space_doubts({row[at] for _, row in rows}, separated)
    return source


def _is_matrix(header: list[str], rows: list[tuple[int, list[str]]]) -> bool:
    """Whether a table has a column of images, and only marks in the others that have a name."""
    images = [name.lower() in IMAGE_COLUMNS for name in header]
    marked = [not image and not tables.is_unnamed(name) for name, image in zip(header, images, strict=True)]
    cells = (cell for _, row in rows for cell, mark in zip(row, marked, strict=True) if mark)
    return any(images) and any(marked) and bool(rows) and all(cell.lower() in MARKS for cell in cells)


def _column(path: Path, first: list[str], column: str | None) -> int:
    """The index of the column with the names."""
    listed = ", ".join(map(repr, first[:20]))
    if column is None:
        found = column_of(first, NAME_COLUMNS)
        if found is None and len(first) > 1:
            raise InputFileError(f"{path}: name the labels' column with --column; the first line has {listed}")
        return found or 0
    if column in first:
        return first.index(column)
    if column.isdecimal() and 1 <= int(column[:9]) <= len(first):
        return int(column) - 1
    raise InputFileError(f"{path}: there is no column {column!r}; the first line has {listed}")


def _json(path: Path) -> Source:
    """A list; COCO's categories, by id; an object with a list; or a map of numbers and names, as id2label."""
    if is_list(path):
        return _names_or_objects("JSON list", "", items(path, "item"))
    if next(items(path, "categories.item"), None) is not None:
        return _coco(path)
    for key, name in (("classes", "JSON of classes and images"), ("labels", "JSON object with labels")):
        found = _names_or_objects(name, key, items(path, f"{key}.item"))
        if found.entries or found.problems:
            return found
    if path.stat().st_size <= MAX_TEXT_BYTES and path.suffix.lower() == ".json":
        value = read_json(path, MAX_TEXT_BYTES)
        inner = [value.get(key) for key in ("id2label", "names", "label2id")] if isinstance(value, dict) else []
        for found_map in (value, *inner):
            if entries := _numbered(found_map):
                return Source("JSON of numbered names", entries, explicit=True)
    raise InputFileError(f"{path}: neither a list of names nor an object with categories (COCO), classes or labels")


def _numbered(value: Any) -> list[Entry] | None:
    """The names in {"0": "cat"} or {"cat": 0}, by number; None if it is neither."""
    if not isinstance(value, dict) or not value:
        return None
    if all(key.isdecimal() and len(key) < 10 and isinstance(name, str) for key, name in value.items()):
        pairs = [(int(key), name) for key, name in value.items()]
    elif all(isinstance(number, int) and not isinstance(number, bool) for number in value.values()):
        pairs = [(number, name) for name, number in value.items()]
    else:
        return None
    if len({number for number, _ in pairs}) < len(pairs):
        return None
    return [Entry(f"number {number}", (name,)) for number, name in sorted(pairs)]


def _coco(path: Path) -> Source:
    read = read_categories(path)
    entries = [Entry(category.place, (category.name, *category.aliases)) for category in read.listed]
    return Source("COCO JSON", entries, list(read.problems), list(read.notes), explicit=True)


def _json_lines(path: Path) -> Source:
    """A name or an object with a name on each line; or rows of a table of images with a list of labels."""
    source = Source("JSON lines", explicit=True)
    for number, value in read_json_lines(path):
        place = f"line {number}"
        match value:
            case {"labels": [*labels]} if all(isinstance(label, str) for label in labels):
                source.repeats = True
                source.entries += [Entry(place, (label,)) for label in labels]
            case _:
                _add(source, place, value)
    return source


def _names_or_objects(name: str, key: str, values: Iterable[Any]) -> Source:
    """Entries from strings, or from objects with name and aliases."""
    source = Source(name, explicit=True)
    for number, value in enumerate(values):
        _add(source, f"{key}[{number}]", value)
    return source


def _add(source: Source, place: str, value: Any) -> None:
    match value:
        case str():
            source.entries.append(Entry(place, (value,)))
        case {"name": str(label), "aliases": [*aliases]} if all(isinstance(alias, str) for alias in aliases):
            source.entries.append(Entry(place, (label, *aliases)))
        case {"name": str(label)} if "aliases" not in value:
            source.entries.append(Entry(place, (label,)))
        case _:
            source.problems.append(f"{place}: expected a text, or an object with name and a list of aliases")


def _drop_repeats(source: Source) -> Iterator[str]:
    """Drop repeated entries, as in a table with a row per image; yields a warning for each repeated name."""
    kept: dict[tuple[str, ...], Entry] = {}
    repeats: dict[tuple[str, ...], int] = {}
    for entry in source.entries:
        if kept.setdefault(entry.names, entry) is not entry:
            repeats[entry.names] = repeats.get(entry.names, 0) + 1
    source.entries = list(kept.values())
    for names, count in repeats.items():
        if not name_error(names[0]):
            lines = f"{count} further line{'s' * (count > 1)}"
            yield f"{kept[names].place}: '{names[0]}' is there and on {lines}; read once"
