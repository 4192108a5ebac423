"""Readers of text and CSV files: numbered lines and rows, detected delimiters, columns by name."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedmpt.common.errors import InputFileError
from fedmpt.common.words import fold

DELIMITERS = ",;\t"
"""Delimiters that are looked for first; | is one only in a table that has none of these in its first line."""
SEPARATOR_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?[\r\n]*", re.IGNORECASE)
"""The line by which Excel is told a delimiter; it is not part of the table."""
UNNAMED = re.compile(r"(Unnamed: \d+)?")
"""The heading of a column without a name, as pandas writes an index."""
LIST_COLUMNS = ("labels", "tags", "aliases")
"""Columns whose cells have several names."""


def is_csv(path: Path) -> bool:
    """Whether a file name ends in .csv or .tsv."""
    return path.suffix.lower() in (".csv", ".tsv")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, stripped, with their numbers from 1.

    Raises:
        InputFileError: the file is missing, cannot be read or is not UTF-8.
    """
    with _readable(path), path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.strip()


def rows(path: Path, delimiters: str = DELIMITERS, same_width: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with stripped cells and the number of the line on which each row ends.

    Args:
        path: the file.
        delimiters: possible delimiters; the most frequent one in the first line is used, if no line sep= names one.
        same_width: whether every row must have as many cells as the first one, the header.

    Raises:
        InputFileError: the file is missing, unreadable, not UTF-8 or not CSV, or a row has another width.
    """
    with _readable(path), path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        named = SEPARATOR_LINE.fullmatch(first)
        if not named:
            file.seek(0)
        before = 1 if named else 0
        found = named[1] if named else max(delimiters, key=first.count)
        reader = csv.reader(file, delimiter=found if found in first else "|", strict=True)
        width = None
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                width = width or len(cells)
                if same_width and len(cells) != width:
                    raise InputFileError(
                        f"{path}, line {before + reader.line_num}: {len(cells)} cells under a header of {width}"
                    )
                yield before + reader.line_num, cells
        except csv.Error as error:
            raise InputFileError(f"{path}, line {before + reader.line_num}: not CSV ({error})") from error


def check_header(path: Path, line: int, header: list[str]) -> None:
    """Check that no two columns have the same name, ignoring case.

    Raises:
        InputFileError: two have; the last one would win in silence.
    """
    first: dict[str, str] = {}
    for name in header:
        if name and fold(name) in first:
            raise InputFileError(f"{path}, line {line}: two columns are called '{name[:60]}'; rename or remove one")
        first[fold(name)] = name


def is_unnamed(name: str) -> bool:
    """Whether a column has no name, as the row numbers that pandas writes; such a column is not read."""
    return UNNAMED.fullmatch(name) is not None


def column_of(header: list[str], wanted: tuple[str, ...]) -> int | None:
    """The index of the first wanted name that is in a header, ignoring case; None if there is none."""
    lower = [cell.lower() for cell in header]
    return next((lower.index(name) for name in wanted if name in lower), None)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputFileError(f"{path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise InputFileError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error
