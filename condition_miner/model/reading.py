"""Reading JSON out of what a model wrote: strict first, then a bounded repair, never a guess.

Taken off: a reasoning model's thinking part, a code fence, prose around one JSON object. Nothing inside the JSON is
changed; what is missing, twice or no number makes the answer invalid.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_TOO_DEEP = "the JSON is nested too deeply"
_TAGS = "think|thinking|thought|reasoning"
_THOUGHT = re.compile(rf"<({_TAGS})>.*?</\1>", re.DOTALL | re.IGNORECASE)
# A chat template may put the opening tag into the prompt, and an answer that was cut off has no closing one.
_THOUGHT_BEFORE = re.compile(rf"^.*</(?:{_TAGS})>", re.DOTALL | re.IGNORECASE)
_THOUGHT_AFTER = re.compile(rf"<(?:{_TAGS})>.*$", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*)\n\s*```$", re.DOTALL)


class InvalidAnswer(ValueError):
    """An answer that cannot be used; the text says why, for the model and for the user."""


def parse(text: str) -> Any:
    """The JSON of an answer.

    Raises:
        InvalidAnswer: no JSON or several objects, a duplicate key, NaN or Infinity, too deep a nesting.
    """
    try:
        return _load(text.strip())
    except json.JSONDecodeError:
        pass
    stripped = without_thinking(text)
    fenced = _FENCE.match(stripped)
    if fenced:
        stripped = fenced[1].strip()
    if not stripped:
        raise InvalidAnswer("the answer is empty")
    try:
        return _load(stripped)
    except json.JSONDecodeError:
        return _object_in_prose(stripped)


def without_thinking(text: str) -> str:
    """The text without its thinking parts, also those whose opening or closing tag is missing."""
    text = _THOUGHT.sub("", text)
    text = _THOUGHT_BEFORE.sub("", text)
    return _THOUGHT_AFTER.sub("", text).strip()


def _load(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise InvalidAnswer(_TOO_DEEP) from error


def _object_in_prose(text: str) -> Any:
    """The one JSON object that stands in prose.

    It must begin at the first brace, and no brace may follow it: a cut-off object, whose inner ones are whole, is not
    taken for one of those.
    """
    start = text.find("{")
    if start < 0:
        raise InvalidAnswer("there is no JSON in the answer")
    try:
        found, end = _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise InvalidAnswer(_TOO_DEEP) from error
    except json.JSONDecodeError as error:
        raise InvalidAnswer(f"not JSON: {error.msg} at character {error.pos}") from error
    if "{" in text[end:]:
        raise InvalidAnswer("there are several JSON objects in the answer")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidAnswer(f"the key '{twice[:60]}' stands twice")
    return content


def _no_constant(name: str) -> NoReturn:
    raise InvalidAnswer(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
