"""Readers of label files: raw names and aliases from text, CSV, JSON, COCO and VOC. labels.py checks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from condition_miner.errors import MinerError
from fedmpt.common import tables, voc_folders
from fedmpt.common.json_stream import is_json, is_list, items
from fedmpt.common.tables import column_of
from fedmpt.common.words import split_names

NAME_COLUMNS = ("label", "labels", "name", "class", "class_name", "category", "display_name", "tag", "tags")


@dataclass(frozen=True)
class Entry:
    """A label as written in a file.

    Attributes:
        place: where it is, "line 3" or "categories[2]" for instance.
        names: the name, then the aliases.
    """

    place: str
    names: tuple[str, ...]


@dataclass
class Source:
    """The raw content of a label file.

    Attributes:
        format: name of the detected format.
        entries: the labels, in order.
        problems: places without a valid entry, and what is wrong there.
        repeats: whether names may repeat, because the file is not only a list of labels.
    """

    format: str
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    repeats: bool = False


def read_source(path: Path, column: str | None = None) -> Source:
    """Read a label file; its name and content determine the format.

    Args:
        path: .json or .json.gz for JSON, .csv or .tsv for tables, a folder for VOC, any other name for text.
        column: column of a table: its name in the header, or its number from 1 if there is no header.

    Raises:
        MinerError: the file is missing or unreadable, or has no list of labels.
    """
    if not path.exists():
        raise MinerError(f"{path}: there is no such label file")
    if column is not None and not tables.is_csv(path):
        raise MinerError(f"{path}: --column is for .csv and .tsv files")
    if path.is_dir():
        names = voc_folders.class_names(voc_folders.year_folder(path))
        return Source("VOC devkit", [Entry(f"class {name!r}", (name,)) for name in names])
    if is_json(path):
        return _json(path)
    if tables.is_csv(path):
        return _csv(path, column)
    return _text(path)


def _text(path: Path) -> Source:
    """One label per line; aliases follow commas, comments follow #."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MinerError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise MinerError(f"{path}: cannot be read ({error.strerror})") from error
    source = Source("text")
    # Not splitlines(): it also splits at control characters, which are errors inside a label.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        names = tuple(part.strip() for part in line.split("#", 1)[0].split(","))
        if any(names):
            source.entries.append(Entry(f"line {number}", names))
    return source


def _csv(path: Path, column: str | None) -> Source:
    """A column of names, and one of aliases if the header has it.

    The first line is a header if it has the requested column, or one with a usual name of label columns.
    """
    source = Source("CSV", repeats=True)
    rows = list(tables.rows(path))
    first = rows[0][1] if rows else [""]
    at = _column(path, first, column)
    aliases, several = None, False
    if column in first or column_of(first, NAME_COLUMNS) is not None:
        del rows[0]
        aliases, several = column_of(first, ("aliases",)), first[at].lower() in tables.LIST_COLUMNS
    for line, row in rows:
        if at >= len(row):
            source.problems.append(f"line {line}: {len(row)} cells, so there is no column {at + 1}")
            continue
        also = split_names(row[aliases]) if aliases is not None and aliases < len(row) else []
        names = split_names(row[at]) if several else [row[at]]
        source.entries += [Entry(f"line {line}", (name, *also)) for name in names]
    return source


def _column(path: Path, first: list[str], column: str | None) -> int:
    """The index of the column with the names."""
    listed = ", ".join(map(repr, first[:20]))
    if column is None:
        found = column_of(first, NAME_COLUMNS)
        if found is None and len(first) > 1:
            raise MinerError(f"{path}: name the labels' column with --column; the first line has {listed}")
        return found or 0
    if column in first:
        return first.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(first):
        return int(column) - 1
    raise MinerError(f"{path}: there is no column {column!r}; the first line has {listed}")


def _json(path: Path) -> Source:
    """A list; COCO's categories, by id; or an object with a list `classes` or `labels`."""
    if is_list(path):
        return _names_or_objects("JSON list", "", items(path, "item"))
    categories = list(enumerate(items(path, "categories.item")))
    if categories:
        return _coco(categories)
    for key, name in (("classes", "JSON of classes and images"), ("labels", "JSON object with labels")):
        found = _names_or_objects(name, key, items(path, f"{key}.item"))
        if found.entries or found.problems:
            return found
    raise MinerError(f"{path}: neither a list of names nor an object with categories (COCO), classes or labels")


def _coco(categories: list[tuple[int, Any]]) -> Source:
    source = Source("COCO JSON")
    numbered: list[tuple[int, Entry]] = []
    ids: dict[int, int] = {}
    for place, category in categories:
        match category:
            case {"id": int(number), "name": str(name)} if number not in ids:
                ids[number] = place
                numbered.append((number, Entry(f"categories[{place}]", (name,))))
            case {"id": int(number), "name": str()}:
                source.problems.append(f"categories[{place}]: has the id {number} of categories[{ids[number]}]")
            case _:
                source.problems.append(f"categories[{place}]: expected an object with id (a number) and name (a text)")
    source.entries = [entry for _, entry in sorted(numbered, key=lambda pair: pair[0])]
    return source


def _names_or_objects(name: str, key: str, values: Iterator[Any]) -> Source:
    """Entries from strings, or from objects with name and aliases."""
    source = Source(name)
    for number, value in enumerate(values):
        place = f"{key}[{number}]"
        match value:
            case str():
                source.entries.append(Entry(place, (value,)))
            case {"name": str(label), "aliases": [*aliases]} if all(isinstance(alias, str) for alias in aliases):
                source.entries.append(Entry(place, (label, *aliases)))
            case {"name": str(label)} if "aliases" not in value:
                source.entries.append(Entry(place, (label,)))
            case _:
                source.problems.append(f"{place}: expected a text, or an object with name and a list of aliases")
    return source
