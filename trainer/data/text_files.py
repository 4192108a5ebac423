"""Text and CSV files of data sets, with the line where something is wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import TrainerError


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without the white space around them, and their numbers from 1.

    Raises:
        TrainerError: the file is missing or not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise TrainerError(f"{path}: not UTF-8") from error
    except OSError as error:
        raise TrainerError(f"{path}: cannot be read ({error.strerror})") from error


def rows_of(path: Path, delimiters: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not blank, the header first, with the line on which each ends.

    Args:
        path: the file.
        delimiters: that it may have; the one most frequent in its first line is taken.

    Raises:
        TrainerError: the file is missing, not UTF-8, not CSV, or a row is longer or shorter than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(delimiters, key=first.count), strict=True)
            width = None
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if width is not None and len(cells) != width:
                    raise TrainerError(f"{path}, line {reader.line_num}: {len(cells)} cells under a header of {width}")
                width = len(cells)
                yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise TrainerError(f"{path}: not UTF-8") from error
    except csv.Error as error:
        raise TrainerError(f"{path}, line {reader.line_num}: not CSV ({error})") from error
    except OSError as error:
        raise TrainerError(f"{path}: cannot be read ({error.strerror})") from error
