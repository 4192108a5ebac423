"""JSON files of any size, read item by item: COCO's annotations are 450 MB."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from fedmpt.common.errors import InputFileError


def is_json(path: Path) -> bool:
    """Whether a file's name says that it is JSON, gzipped or not."""
    return path.name.lower().endswith((".json", ".json.gz"))


def items(path: Path, prefix: str) -> Iterator[Any]:
    """The values at a place of a JSON file: "item" for those of a list, "categories.item" for those of a field's list.

    Raises:
        InputFileError: the file cannot be read, is not JSON, or is cut off.
    """
    try:
        with _opened(path) as file:
            yield from ijson.items(file, prefix, use_float=True)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputFileError(f"{path}: not JSON, or cut off ({said})") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputFileError(f"{path}: not a whole gzip file") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error


def is_list(path: Path) -> bool:
    """Whether a JSON file holds a list, not an object.

    Raises:
        InputFileError: the file cannot be read.
    """
    try:
        with _opened(path) as file:
            start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputFileError(f"{path}: not a whole gzip file") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error
    return start.startswith(b"[")


def _opened(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]  # it reads bytes, and that is all that is asked
    return path.open("rb")
