"""Streaming JSON: large files (COCO's annotations are 450 MB) are read item by item."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from fedmpt.common.errors import InputFileError


def is_json(path: Path) -> bool:
    """Whether a file name ends in .json or .json.gz."""
    return path.name.lower().endswith((".json", ".json.gz"))


def items(path: Path, prefix: str) -> Iterator[Any]:
    """The values at an ijson prefix: "item" for the items of a list, "categories.item" for those of a field's list.

    Raises:
        InputFileError: the file cannot be read, is not JSON, or is truncated.
    """
    try:
        with _open(path) as file:
            yield from ijson.items(file, prefix, use_float=True)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputFileError(f"{path}: not JSON, or cut off ({said})") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputFileError(f"{path}: not a whole gzip file") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error


def is_list(path: Path) -> bool:
    """Whether the top level of a JSON file is a list.

    Raises:
        InputFileError: the file cannot be read.
    """
    try:
        with _open(path) as file:
            start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputFileError(f"{path}: not a whole gzip file") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error
    return start.startswith(b"[")


def _open(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile reads bytes as IO[bytes] does
    return path.open("rb")
