"""A strict JSON parser that knows the line of every value, by its place, for example ("conditions", 2, "text")."""

from __future__ import annotations

import json
import math
import re
import sys
from bisect import bisect_left
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import NUMBER_RE
from typing import Any

from fedmpt.common.foreign_json import MAX_DEPTH
from prompt_bank.errors import Problem

NON_JSON_NUMBER = re.compile(r"NaN|-?Infinity")
"""Numbers that Python's json module reads and writes although JSON does not allow them."""

_NUMBER = r"(?:-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,17})?|null)"
NUMBER_ROW = re.compile(rf"\[ *{_NUMBER}(?: *, *{_NUMBER})* *\]")
"""A list of numbers on one line, such as a row of an affinity. It is parsed as a whole, for speed."""

LARGEST_NUMBER = sys.float_info.max
"""Larger integers are no numbers for other programs."""

Place = tuple[str | int, ...]


class LocatedJson:
    """Parsed JSON text with the line number of every value.

    Args:
        text: the file's content.

    Attributes:
        value: the parsed content.
        problems: duplicate keys and invalid numbers, each with its place; parsing continues after them.

    Raises:
        JsonSyntaxError: the text is not JSON.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = [found.start() for found in re.finditer("\n", text)]
        self._lines: dict[Place, int] = {}
        self.problems: list[Problem] = []
        end, self.value = self._read(self._skip(0), ())
        end = self._skip(end)
        if end != len(text):
            raise self._problem("there is text after the end of the JSON", end)

    def line(self, place: Place) -> int | None:
        """The line number of a place, or of the innermost known place that contains it."""
        while place not in self._lines:
            if not place:
                return None
            place = place[:-1]
        return self._lines[place]

    def _read(self, at: int, place: Place) -> tuple[int, Any]:
        if len(place) > MAX_DEPTH:
            raise self._problem("lists or objects are nested too deep for a bank", at)
        self._lines[place] = self._line(at)
        sign = self._text[at : at + 1]
        if sign == "{":
            return self._object(at + 1, place)
        if sign == "[":
            if numbers := NUMBER_ROW.match(self._text, at):
                return numbers.end(), json.loads(numbers.group())
            return self._array(at + 1, place)
        if sign == '"':
            value, end = self._string(at)
            return end, value
        for word, meaning in (("true", True), ("false", False), ("null", None)):
            if self._text.startswith(word, at):
                return at + len(word), meaning
        return self._number(at, place)

    def _number(self, at: int, place: Place) -> tuple[int, float]:
        if odd := NON_JSON_NUMBER.match(self._text, at):
            self._note(place, f"{odd.group()} is not a JSON number", at)
            return odd.end(), 0
        number = NUMBER_RE.match(self._text, at)
        if number is None:
            raise self._problem("a value is missing or not JSON (is the file cut off?)", at)
        try:
            value = json.loads(number.group())
        except ValueError:  # Python limits the number of digits of an integer
            value = math.inf
        if abs(value) > LARGEST_NUMBER:
            self._note(place, "the number is too large", at)
            value = 0
        return number.end(), value

    def _object(self, at: int, place: Place) -> tuple[int, dict[str, Any]]:
        found: dict[str, Any] = {}
        at = self._skip(at)
        if self._text[at : at + 1] == "}":
            return at + 1, found
        while True:
            if self._text[at : at + 1] != '"':
                raise self._problem("a key in double quotes is missing", at)
            begin = at
            key, at = self._string(at)
            if key in found:
                self._note((*place, key), f"the key '{key}' occurs twice", begin)
            at = self._expect(":", self._skip(at))
            at, found[key] = self._read(self._skip(at), (*place, key))
            at = self._skip(at)
            if self._text[at : at + 1] == "}":
                return at + 1, found
            at = self._skip(self._expect(",", at))

    def _array(self, at: int, place: Place) -> tuple[int, list[Any]]:
        found: list[Any] = []
        at = self._skip(at)
        if self._text[at : at + 1] == "]":
            return at + 1, found
        while True:
            at, value = self._read(at, (*place, len(found)))
            found.append(value)
            at = self._skip(at)
            if self._text[at : at + 1] == "]":
                return at + 1, found
            at = self._skip(self._expect(",", at))

    def _string(self, at: int) -> tuple[str, int]:
        try:
            value, end = scanstring(self._text, at + 1, True)
        except json.JSONDecodeError as error:
            raise self._problem(f"a string is not closed or not valid ({error.msg})", at) from error
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self._problem("a string contains half of a surrogate pair", at) from error
        return value, end

    def _expect(self, sign: str, at: int) -> int:
        if self._text[at : at + 1] != sign:
            raise self._problem(f"'{sign}' is missing (is the file cut off?)", at)
        return at + 1

    def _skip(self, at: int) -> int:
        while at < len(self._text) and self._text[at] in " \t\r\n":
            at += 1
        return at

    def _line(self, at: int) -> int:
        return bisect_left(self._breaks, at) + 1

    def _note(self, place: Place, message: str, at: int) -> None:
        self.problems.append(Problem(format_place(place), message, self._line(at)))

    def _problem(self, message: str, at: int) -> JsonSyntaxError:
        return JsonSyntaxError(message, self._line(at))


class JsonSyntaxError(ValueError):
    """Text that is not strict JSON.

    Attributes:
        line: line number, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def format_place(place: Place) -> str:
    """A place as text, for example "conditions[2].text"."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
