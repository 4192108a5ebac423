"""Lists of labels in plain text: one a line, also numbered, quoted or with bullets; Markdown, YOLO's YAML, pbtxt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from fedmpt.common.errors import InputFileError

MAX_TEXT_BYTES = 20_000_000
"""The largest text file of labels."""


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
        notes: on what was left out or read in a way of its own.
        repeats: whether names may repeat, because the file is not only a list of labels.
        explicit: whether the format marks names as texts, so that a bracket in one is no syntax.
    """

    format: str
    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repeats: bool = False
    explicit: bool = False


_COMMENT = re.compile(r"(?:^|\s)#.*")
_BULLET = re.compile(r"[-*+•]\s+(.+)")
_NUMBER = re.compile(r"(\(?)(\d{1,9})(\s*[:.)\]\t]\s*|\s+)(\S.*)")
_WORDNET = re.compile(r"n\d{8}\s+(\S.*)")
_ENDS_IN_NUMBER = re.compile(r"(.*\S)[\s:,]+(\d{1,9})")
_QUOTED = re.compile(r"""(["'])(.*)\1""")
_PBTXT_FIELD = re.compile(r"""([a-z_]+)\s*:\s*(?:(["'])([^"'\\]*)\2|(-?\d{1,9}))|(item|entry)\s*\{|(\})|(\s+|,|#.*)""")


def text_list(path: Path) -> Source:
    """One label per line; aliases follow commas, and comments follow a # at the start of a line or after a space.

    If all lines have a bullet, an increasing number, a WordNet id or quotes, these are not part of the names.

    Raises:
        InputFileError: the file cannot be read or is not UTF-8.
    """
    source = Source("text")
    lines: list[tuple[int, str]] = []
    # Not splitlines(): it also splits at control characters, which are errors inside a label.
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").split("\n"), start=1):
        kept = _COMMENT.sub("", line).strip()
        if not kept and (comment := line.strip())[1:2].isalnum() and comment[:1] == "#":
            source.notes.append(f"line {number}: {comment[:60]!r} is a comment; a label cannot start with #")
        if kept:
            lines.append((number, kept))
    for form, plain in (("with bullets", _bullets), ("numbered", _numbers), ("WordNet ids", _wordnet)):
        if (found := plain([line for _, line in lines])) is not None:
            lines = [(number, line) for (number, _), line in zip(lines, found, strict=True)]
            source.format = f"text, {form}"
    if _end_in_numbers([line for _, line in lines]):
        source.problems.append(f"line {lines[0][0]}: every line ends in its number; remove the numbers")
    parts = [(number, [part.strip() for part in line.split(",")]) for number, line in lines]
    if parts and all(len(p) > 1 and p[-1] == "" for _, p in parts[:-1]) and len(parts) > 1:
        parts = [(number, p[:-1] if p[-1] == "" else p) for number, p in parts]  # a list out of a program
    if parts and all(_QUOTED.fullmatch(part) for _, p in parts for part in p):
        parts = [(number, [part[1:-1].strip() for part in p]) for number, p in parts]
        source.format = "text, in quotes"
    source.entries = [Entry(f"line {number}", tuple(p)) for number, p in parts]
    return source


def markdown_list(path: Path) -> Source:
    """The items of the lists in a Markdown file; anything else but headings is a problem.

    Raises:
        InputFileError: the file cannot be read or is not UTF-8.
    """
    source = Source("Markdown")
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        text = line.strip()
        item = _BULLET.fullmatch(text) or re.fullmatch(r"\d{1,9}[.)]\s+(.+)", text)
        if item:
            source.entries.append(Entry(f"line {number}", (item[1].strip(),)))
        elif text and not text.startswith("#"):
            source.problems.append(
                f"line {number}: {text[:60]!r} is no item of a list; write one label an item (- cat)"
            )
    return source


def yaml_list(path: Path) -> Source:
    """`names` in YOLO's data.yaml, a list or a map of numbers to names; or a list of names. All scalars are texts.

    Raises:
        InputFileError: the file cannot be read, is not YAML, or has no names.
    """
    import yaml  # here, as most label files are not YAML

    from fedmpt.common.yaml_text import YamlTextError, compose_yaml

    try:
        node = compose_yaml(read_text(path))
    except YamlTextError as error:
        raise InputFileError(f"{path}{f', line {error.line}' if error.line else ''}: {error}") from error
    if isinstance(node, yaml.MappingNode):
        named = [value for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == "names"]
        node = named[0] if len(named) == 1 else None
    source = Source("YAML", explicit=True)
    if isinstance(node, yaml.SequenceNode):
        source.entries = [_yaml_entry(path, value) for value in node.value]
    elif isinstance(node, yaml.MappingNode):
        numbered: dict[int, Entry] = {}
        for key, value in node.value:
            text = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not re.fullmatch(r"\d{1,9}", text) or int(text) in numbered:
                raise InputFileError(f"{path}, line {key.start_mark.line + 1}: expected a new number before a name")
            numbered[int(text)] = _yaml_entry(path, value)
        source.entries = [numbered[number] for number in sorted(numbered)]
    else:
        raise InputFileError(f"{path}: expected a list of names, or a map with names (as YOLO's data.yaml)")
    return source


def _yaml_entry(path: Path, node: Any) -> Entry:
    if not isinstance(node.value, str):
        raise InputFileError(f"{path}, line {node.start_mark.line + 1}: expected a name")
    return Entry(f"line {node.start_mark.line + 1}", (node.value,))


def pbtxt_list(path: Path) -> Source:
    """TensorFlow's label map: items with an id and a name; display_name is preferred.

    Raises:
        InputFileError: the file cannot be read or is no label map.
    """
    text, at = read_text(path), 0
    source = Source("label map", explicit=True)
    item: dict[str, str] | None = None
    found: list[tuple[int, Entry]] = []
    while at < len(text):
        token = _PBTXT_FIELD.match(text, at)
        line = text.count("\n", 0, at) + 1 if token is None or not token[7] else 0
        if (
            token is None
            or (token[1] and item is None)
            or (token[6] and item is None)
            or (token[5] and item is not None)
        ):
            raise InputFileError(f"{path}, line {line}: expected items with id and name")
        if token[5]:
            item = {}
        elif token[6] and item is not None:
            name = item.get("display_name") or item.get("name")
            if name is None or "id" not in item:
                raise InputFileError(f"{path}, line {line}: the item has no id or no name")
            found.append((int(item["id"]), Entry(f"line {line}", (name,))))
            item = None
        elif token[1] and item is not None:
            item[token[1]] = token[4] if token[4] is not None else token[3]
        at = token.end()
    if item is not None:
        raise InputFileError(f"{path}: cut off; the last item has no end")
    source.entries = [entry for _, entry in sorted(found, key=lambda pair: pair[0])]
    return source


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        InputFileError: it cannot be read, is not UTF-8, or is too large for a list of labels.
    """
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise InputFileError(f"{path}: larger than {MAX_TEXT_BYTES // 10**6} MB, so no list of labels")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error


def _bullets(lines: list[str]) -> list[str] | None:
    found = [_BULLET.fullmatch(line) for line in lines]
    return [item[1] for item in found if item] if lines and all(found) else None


def _numbers(lines: list[str]) -> list[str] | None:
    """The lines without numbers that increase; without a sign after them, they must count from 0 or 1."""
    found = [_NUMBER.fullmatch(line) for line in lines]
    if len(lines) < 2 or not all(found):
        return None
    items = [(item[1], int(item[2]), item[3].strip(" "), item[4]) for item in found if item]
    numbers = [number for _, number, _, _ in items]
    if len({(opening, sign) for opening, _, sign, _ in items}) != 1:
        return None
    increasing = all(a < b for a, b in pairwise(numbers))
    counting = numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
    return [name for *_, name in items] if (increasing if items[0][2] else counting) else None


def _wordnet(lines: list[str]) -> list[str] | None:
    found = [_WORDNET.fullmatch(line) for line in lines]
    return [item[1] for item in found if item] if lines and all(found) else None


def _end_in_numbers(lines: list[str]) -> bool:
    """Whether lines of different names end in 0, 1, 2 … or 1, 2, 3 …"""
    found = [_ENDS_IN_NUMBER.fullmatch(line) for line in lines]
    if len(lines) < 2 or not all(found):
        return False
    numbers = [int(item[2]) for item in found if item]
    different = len({item[1] for item in found if item}) == len(lines)
    return different and numbers in (list(range(len(lines))), list(range(1, len(lines) + 1)))
