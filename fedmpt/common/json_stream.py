"""Streaming JSON: large files (COCO's annotations are 450 MB) are read item by item."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import ijson

from fedmpt.common.errors import InputFileError
from fedmpt.common.json_scan import JsonScanError, WithoutConstants, has_constants


def is_json(path: Path) -> bool:
    """Whether a file name ends in .json or .json.gz."""
    return path.name.lower().endswith((".json", ".json.gz"))


def items(path: Path, prefix: str) -> Iterator[Any]:
    """The values at an ijson prefix: "item" for the items of a list, "categories.item" for those of a field's list.

    A byte order mark is skipped; NaN and infinities, which other programs write, are read as None.

    Raises:
        InputFileError: the file cannot be read, is not JSON, is truncated, or is nested too deep.
    """
    with _readable(path):
        status = path.stat()
        replaced = _checked(path, status.st_size, status.st_mtime_ns)
        with _open(path) as file:
            yield from ijson.items(WithoutConstants(file) if replaced else file, prefix, use_float=True)


def is_list(path: Path) -> bool:
    """Whether the top level of a JSON file is a list.

    Raises:
        InputFileError: the file cannot be read.
    """
    with _readable(path), _open(path) as file:
        return bool(file.read(4096).lstrip(b" \t\r\n").startswith(b"["))


@lru_cache(maxsize=8)
def _checked(path: Path, size: int, changed: int) -> bool:
    """Whether a file of this size and time of change has values that are not JSON's numbers."""
    with _open(path) as file:
        return has_constants(file)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except JsonScanError as error:
        raise InputFileError(f"{path}: {error}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputFileError(f"{path}: not a whole gzip file") from error
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror})") from error
    except (ijson.JSONError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputFileError(f"{path}: not JSON, or cut off ({said})") from error


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed and without a byte order mark.

    Raises:
        JsonScanError: UTF-16 or UTF-32.
    """
    with path.open("rb") as raw:
        plain: Any = gzip.GzipFile(fileobj=raw) if path.name.lower().endswith(".gz") else raw
        file = io.BufferedReader(plain) if plain is not raw else raw
        start = file.peek(4)[:4]
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\0\0\xfe\xff")):
            raise JsonScanError("UTF-16 or UTF-32; save the file as UTF-8")
        if start.startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        yield file
