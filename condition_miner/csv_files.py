"""CSV files of people: found delimiters, columns by name."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from condition_miner.errors import MinerError

DELIMITERS = ",;\t"
LIST_COLUMNS = ("labels", "tags", "aliases")
"""Columns whose cells hold several names."""


def is_csv(path: Path) -> bool:
    """Whether a file's name says that it is a table."""
    return path.suffix.lower() in (".csv", ".tsv")


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, with the line on which each ends; cells without the white space around them.

    Raises:
        MinerError: the file is missing, not UTF-8, or not CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except FileNotFoundError as error:
        raise MinerError(f"{path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise MinerError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except csv.Error as error:
        raise MinerError(f"{path}, line {reader.line_num}: not CSV ({error})") from error
    except OSError as error:
        raise MinerError(f"{path}: cannot be read ({error.strerror})") from error


def column_of(header: list[str], wanted: tuple[str, ...]) -> int | None:
    """Where the first of the wanted names stands in a header; case doesn't matter."""
    lower = [cell.lower() for cell in header]
    return next((lower.index(name) for name in wanted if name in lower), None)
