"""The one reader of JSON that others wrote: files of run folders and caches, answers of servers.

`json.loads` alone fails on foreign text in five ways (ValueError, RecursionError, MemoryError, UnicodeError, numbers
that are no numbers). Here the text is bounded before it is parsed, in time linear in its length, and everything that
is wrong is one error that says where.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from fedmpt.common.errors import InputFileError

MAX_BYTES = 64_000_000
"""Largest text, unless the caller knows better."""
MAX_DEPTH = 64
"""Deepest nesting of lists and objects."""
MAX_DIGITS = 300
"""Longest number; a double has no more digits than that before its point."""

_TOKENS = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
"""Escapes, quotes and brackets: short, so that no part of the text is read twice."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class ForeignJsonError(InputFileError):
    """Foreign JSON that is not JSON, or larger, deeper or longer in its numbers than is read.

    Attributes:
        line: where, counted from 1; None if it concerns the whole text.
        problem: what is wrong, without the place.
    """

    def __init__(self, problem: str, line: int | None = None, source: str = "") -> None:
        place = source if line is None else f"{source}, line {line}" if source else f"line {line}"
        super().__init__(f"{place}: {problem}" if place else problem)
        self.line, self.problem = line, problem


def parse_json(text: str | bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH, source: str = "") -> Any:
    """Parse foreign JSON.

    Args:
        text: a text, or UTF-8 with or without a byte order mark.
        max_bytes: the largest text (in bytes; a str counts its characters).
        max_depth: the deepest nesting.
        source: the name of the text in errors.

    Returns:
        The value. All of its strings can be encoded as UTF-8; all of its numbers are finite.

    Raises:
        ForeignJsonError: too large, not UTF-8, not JSON, too deep, a number that is infinite, not a number or too long.
    """
    if len(text) > max_bytes:
        raise ForeignJsonError(f"{len(text):,} bytes; at most {max_bytes:,} are read", source=source)
    try:
        decoded = text if isinstance(text, str) else text.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ForeignJsonError("not UTF-8", line, source) from error
    _check_depth(decoded, max_depth, source)
    try:
        value = json.loads(decoded, parse_int=_integer, parse_float=_number, parse_constant=_constant)
        if _SURROGATE.search(decoded):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ForeignJsonError(f"not JSON ({error.msg}, column {error.colno})", error.lineno, source) from error
    except UnicodeEncodeError as error:
        raise ForeignJsonError("a string has half a character (a lone surrogate)", source=source) from error
    except (ValueError, RecursionError) as error:
        raise ForeignJsonError(str(error), source=source) from error
    return value


def read_json(path: Path, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Read a foreign JSON file; see `parse_json`.

    Raises:
        ForeignJsonError: see `parse_json`; the file is missing, no plain file, or cannot be read.
    """
    return parse_json(read_bytes(path, max_bytes), max_bytes, max_depth, str(path))


def read_json_lines(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[tuple[int, Any]]:
    """The values of a file with one JSON value per line, with their line numbers from 1; blank lines are skipped.

    Raises:
        ForeignJsonError: see `read_json`; the first line that is wrong is named.
    """
    for number, line in enumerate(read_bytes(path, max_bytes).split(b"\n"), 1):
        if line.strip():
            try:
                yield number, parse_json(line, max_bytes)
            except ForeignJsonError as error:
                raise ForeignJsonError(error.problem, number, str(path)) from error


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a plain file of bounded size; a device or a pipe, which may never end, is refused.

    Raises:
        ForeignJsonError: missing, no plain file, too large, or unreadable.
    """
    try:
        if path.exists() and not path.is_file():
            raise ForeignJsonError("not a plain file", source=str(path))
        size = path.stat().st_size
        if size > max_bytes:
            raise ForeignJsonError(f"{size:,} bytes; at most {max_bytes:,} are read", source=str(path))
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ForeignJsonError("there is no such file", source=str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        said = getattr(error, "strerror", None) or error
        raise ForeignJsonError(f"cannot be read ({said})", source=str(path)) from error


def _check_depth(text: str, limit: int, source: str) -> None:
    depth, in_string = 0, False
    for token in _TOKENS.finditer(text):
        sign = token[0]
        if sign == '"':
            in_string = not in_string
        elif not in_string and sign in "[{":
            depth += 1
            if depth > limit:
                line = text.count("\n", 0, token.start()) + 1
                raise ForeignJsonError(f"nested deeper than {limit} levels", line, source)
        elif not in_string and sign in "]}":
            depth -= 1


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits; at most {MAX_DIGITS} are read")
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits; at most {MAX_DIGITS} are read")
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits[:20]} is infinite")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
