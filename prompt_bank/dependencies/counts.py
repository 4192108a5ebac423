"""Reads a table of label counts and pair counts, which sites can share even if they cannot share images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmpt.common.errors import InputFileError
from fedmpt.common.json_stream import items


@dataclass(frozen=True)
class Counts:
    """A table of counts, in its own order of labels.

    Attributes:
        names: the names of N labels.
        together: N × N, symmetric: the number of images with both labels; on the diagonal, with the label.
        images: the number of images.
    """

    names: tuple[str, ...]
    together: tuple[tuple[int, ...], ...]
    images: int


def read_counts(path: Path) -> Counts | None:
    """Read {"labels": [names], "together": [[counts]], "images": number}; None if the file has no "together".

    Raises:
        InputFileError: the table is invalid.
    """
    rows = list(items(path, "together.item"))
    if not rows:
        return None
    names = list(items(path, "labels.item"))
    if not all(isinstance(name, str) for name in names) or len(names) != len(rows):
        raise InputFileError(f"{path}: expected labels, one name for each of the {len(rows)} rows of together")
    images = next(items(path, "images"), None)
    if not isinstance(images, int) or not _is_count(images):
        raise InputFileError(f"{path}, images: expected the number of images")
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(rows) or not all(map(_is_count, row)):
            raise InputFileError(f"{path}, together[{at}]: expected {len(rows)} counts")
    for a, row in enumerate(rows):
        for b, count in enumerate(row):
            place = f"{path}, together[{a}][{b}]"
            if count != rows[b][a]:
                raise InputFileError(
                    f"{place} is {count}, but together[{b}][{a}] is {rows[b][a]}; the table must be symmetric"
                )
            if count > min(row[a], images):
                raise InputFileError(f"{place} is {count}, more than the {min(row[a], images)} images with {names[a]}")
    return Counts(tuple(names), tuple(map(tuple, rows)), images)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
