"""What a server sends is untrusted: one guarded reader of its JSON, and one filter for its words on their way out.

The reader takes JSON in linear time and memory, and gives only what can be written again: no lone surrogates, no number
of thousands of digits, no nesting that would exhaust the stack.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

MAX_BODY_BYTES = 8 * 2**20
"""The longest body of an answer, unpacked; log-probabilities of a hundred tokens take less than a hundredth of it."""
MAX_DIGITS = 300
"""The most digits of a whole number; one in float64 has at most 309."""
MAX_WORDS = 300
"""The most characters of a server's words in a message."""

_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Pairs of surrogates, lone ones, and any other escape, so that none is looked for inside another."""


class Unreadable(ValueError):
    """JSON that is none, or that has a value that can't be used. Its message says why, in a few words of ours."""


def words(text: object, longest: int = MAX_WORDS) -> str:
    """Foreign words as one line that is safe for a terminal: without control and format characters, and not long."""
    line = " ".join(str(text)[: 20 * longest].split())
    return "".join(sign for sign in line if sign.isprintable())[:longest].strip()


def without_surrogates(text: str) -> str:
    """The text with � for each lone surrogate, which no encoding can write."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_json(content: bytes | str) -> Any:
    """The JSON value of a server's body; a byte-order mark and comment lines of an event stream are skipped.

    Raises:
        Unreadable: it is no JSON, is nested too deeply, or has a number that is too long.
    """
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    text = without_surrogates(text).lstrip("\ufeff \t\r\n")
    while text.startswith(":"):
        text = text.partition("\n")[2].lstrip()
    text = _ESCAPES.sub(lambda match: r"\ufffd" if match["lone"] else match[0], text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise Unreadable("nested too deeply") from error


def whole_number(digits: str) -> int:
    """A whole number in JSON.

    Raises:
        Unreadable: it has too many digits.
    """
    if len(digits) > MAX_DIGITS:
        raise Unreadable(f"a number of {len(digits)} digits")
    return int(digits)


def finite_number(digits: str) -> float:
    """A decimal number in JSON.

    Raises:
        Unreadable: it is too large.
    """
    number = float(digits) if len(digits) <= MAX_DIGITS else math.inf
    if not math.isfinite(number):
        raise Unreadable("a number that is too large")
    return number


def no_constant(name: str) -> NoReturn:
    """NaN or Infinity.

    Raises:
        Unreadable: always.
    """
    raise Unreadable(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_int=whole_number, parse_float=finite_number)
"""NaN and Infinity pass here: some servers give them as log-probabilities, whose reader drops them."""
