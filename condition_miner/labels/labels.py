"""Reads and checks label files. Invalid names are errors, suspicious ones warnings, each with its place."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from condition_miner.errors import MinerError
from condition_miner.labels.sources import Entry, Source, read_source
from fedmpt.common.words import BIDI_CONTROLS, fold, fold_loosely
from prompt_bank.schema import Label

MAX_LABEL_CHARACTERS = 100
"""The longest label name."""


@dataclass(frozen=True)
class LabelFile:
    """The content of a label file.

    Attributes:
        format: name of the detected format.
        labels: in the order of the file; COCO categories in the order of their ids.
        warnings: suspicious names, each with its place.
    """

    format: str
    labels: tuple[Label, ...]
    warnings: tuple[str, ...]


def read_labels(path: Path, column: str | None = None) -> LabelFile:
    """Read labels from text, CSV, JSON, COCO annotations or a VOC devkit folder.

    Args:
        path: file or folder, see `sources.read_source`.
        column: column of a CSV file; None to detect it by the names in the header.

    Raises:
        MinerError: the file is missing, unreadable or empty, or has invalid names, all of which are listed.
    """
    source = read_source(path, column)
    problems, warnings = list(source.problems), []
    if source.repeats:
        warnings += _drop_repeats(source)
    first: dict[str, str] = {}
    labels: list[Label] = []
    for entry in source.entries:
        names = [name.strip() for name in entry.names]
        found = [problem for name in names if (problem := _name_error(name))]
        for name in dict.fromkeys(fold(name) for name in names if name):
            if name in first:
                found.append(f"'{name}' is already at {first[name]}")
            first.setdefault(name, entry.place)
        problems += [f"{entry.place}: {problem}" for problem in found]
        if not found:
            labels.append(Label(name=names[0], aliases=tuple(names[1:])))
            warnings += [f"{entry.place}: {doubt}" for name in names if (doubt := _name_warning(name))]
    if problems:
        raise MinerError("\n".join(f"{path}, {problem}" for problem in problems))
    if not labels:
        raise MinerError(f"{path}: no labels; write one a line")
    warnings += _near_duplicates(source.entries)
    return LabelFile(source.format, tuple(labels), tuple(f"{path}, {warning}" for warning in warnings))


def _drop_repeats(source: Source) -> list[str]:
    """Drop repeated entries, as in a table with a row per image; returns a warning for each repeated name."""
    kept: dict[tuple[str, ...], Entry] = {}
    repeats: dict[tuple[str, ...], int] = {}
    for entry in source.entries:
        if kept.setdefault(entry.names, entry) is not entry:
            repeats[entry.names] = repeats.get(entry.names, 0) + 1
    source.entries = list(kept.values())
    return [
        f"{kept[names].place}: '{names[0]}' is there and on {count} further line{'s' * (count > 1)}; read once"
        for names, count in repeats.items()
        if not _name_error(names[0])
    ]


def _name_error(name: str) -> str | None:
    if not name:
        return "an empty name; remove it or write the name"
    if len(name) > MAX_LABEL_CHARACTERS:
        return f"a label of {len(name)} characters; {MAX_LABEL_CHARACTERS} are allowed"
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in name):
        return f"{name!r} has a control character; remove it"
    if any(sign in BIDI_CONTROLS for sign in name):
        return f"{name!r} has a bidirectional control character, so that it may look like another label; remove it"
    return None


def _name_warning(name: str) -> str | None:
    if any(unicodedata.category(sign) == "Cf" for sign in name):
        return f"{name!r} has an invisible character; is it intended?"
    if not any(sign.isalnum() for sign in name):
        return f"'{name}' has neither a letter nor a number; is it a label?"
    return None


def _near_duplicates(entries: list[Entry]) -> list[str]:
    """Warnings about names that differ only in a plural or in punctuation. (Equal names after `fold` are errors.)"""
    seen: dict[str, Entry] = {}
    warnings = []
    for entry in entries:
        other = seen.setdefault(fold_loosely(entry.names[0]), entry)
        if other is not entry:
            warnings.append(f"{entry.place}: '{entry.names[0]}' is nearly '{other.names[0]}'; is it the same label?")
    return warnings
