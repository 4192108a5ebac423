"""A fast look through a large JSON file before it is streamed: its depth, its numbers, and what JSON does not allow.

A streaming parser keeps the path to each value, so its memory grows with the square of the depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from fedmpt.common.foreign_json import MAX_DEPTH, MAX_DIGITS

CHUNK = 2**16
"""Bytes read at once."""

_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_PIECES = re.compile(rb'(\\.|")', re.DOTALL)
_TAIL = re.compile(rb"[A-Za-z0-9+\-.]{1,400}\Z")
"""A number or a word that may go on in the next chunk."""
_LONG_NUMBER = re.compile(rb"[0-9+\-.eE]{%d}" % (MAX_DIGITS + 1))
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
CONSTANTS = (b"-Infinity", b"Infinity", b"NaN")
"""What Python's json module writes for numbers that JSON does not have."""


class JsonScanError(ValueError):
    """A file that is too deep, has too long a number, or is not UTF-8."""


def has_constants(file: IO[bytes]) -> bool:
    """Whether a file has NaN or an infinity among its values.

    Raises:
        JsonScanError: nested deeper than MAX_DEPTH, a number of more than MAX_DIGITS digits, or UTF-16.
    """
    in_string, depth, found = False, 0, False
    for data in _chunks(file):
        plain = _ESCAPE.sub(b"", data) if b"\\" in data else data
        parts = plain.split(b'"')
        outside = b'"'.join(parts[1::2] if in_string else parts[::2])
        in_string ^= len(parts) % 2 == 0
        found = found or b"NaN" in outside or b"Infinity" in outside
        if _LONG_NUMBER.search(outside):
            raise JsonScanError(f"a number of more than {MAX_DIGITS} digits")
        for bracket in outside.translate(None, _NOT_BRACKETS):
            depth += 1 if bracket in b"[{" else -1
            if depth > MAX_DEPTH:
                raise JsonScanError(f"nested deeper than {MAX_DEPTH} levels")
    return found


class WithoutConstants:
    """A file whose NaN and infinities read as null."""

    def __init__(self, file: IO[bytes]) -> None:
        self._parts = self._replaced(file)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes; all of them if the size is negative."""
        while size < 0 or len(self._rest) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._rest += part
        size = len(self._rest) if size < 0 else size
        given, self._rest = self._rest[:size], self._rest[size:]
        return given

    @staticmethod
    def _replaced(file: IO[bytes]) -> Iterator[bytes]:
        in_string = False
        for data in _chunks(file):
            pieces = _PIECES.split(data)
            for at, piece in enumerate(pieces):
                if piece == b'"':
                    in_string = not in_string
                elif not in_string:
                    for constant in CONSTANTS:
                        pieces[at] = pieces[at].replace(constant, b"null")
            yield b"".join(pieces)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The file in parts that split neither an escape nor a word."""
    carry = b""
    while block := file.read(CHUNK):
        data = carry + block
        tail = _TAIL.search(data[-400:])
        end = len(data) - (len(tail[0]) if tail else 0)
        end -= (end - len(data[:end].rstrip(b"\\"))) % 2  # the first half of an escape
        carry = data[end:]
        yield data[:end]
    yield carry
