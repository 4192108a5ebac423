"""Parses the JSON in a model's answer: strictly, then without what surrounds it. The JSON itself is never repaired.

Removed are the reasoning of a reasoning model, a code fence, and prose around a single JSON object. Truncated JSON,
duplicate keys, NaN and Infinity make an answer invalid.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

_TOO_DEEP = "the JSON is nested too deeply"
_TAGS = "think|thinking|thought|reasoning"
_REASONING = re.compile(rf"<({_TAGS})>.*?</\1>", re.DOTALL | re.IGNORECASE)
# A chat template may put the opening tag into the prompt; a truncated answer has no closing tag.
_REASONING_BEFORE = re.compile(rf"^.*</(?:{_TAGS})>", re.DOTALL | re.IGNORECASE)
_REASONING_AFTER = re.compile(rf"<(?:{_TAGS})>.*$", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*)\n\s*```$", re.DOTALL)


class InvalidAnswer(ValueError):
    """An invalid answer. Its message is shown to the user, and sent to the model as feedback."""


def parse(text: str) -> Any:
    """The JSON value in an answer.

    Raises:
        InvalidAnswer: no JSON, several objects, duplicate keys, NaN or Infinity, or too deep nesting.
    """
    try:
        return _load(text.strip())
    except json.JSONDecodeError:
        pass
    stripped = strip_reasoning(text)
    fenced = _FENCE.match(stripped)
    if fenced:
        stripped = fenced[1].strip()
    if not stripped:
        raise InvalidAnswer("the answer is empty")
    try:
        return _load(stripped)
    except json.JSONDecodeError:
        return _object_in_prose(stripped)


def strip_reasoning(text: str) -> str:
    """The text without reasoning in tags such as <think>, also if the opening or the closing tag is missing."""
    text = _REASONING.sub("", text)
    text = _REASONING_BEFORE.sub("", text)
    return _REASONING_AFTER.sub("", text).strip()


def _load(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise InvalidAnswer(_TOO_DEEP) from error


def _object_in_prose(text: str) -> Any:
    """The single JSON object in a prose text.

    It must begin at the first brace, and no brace may follow it, so that no inner object of a truncated object is taken
    for the answer.
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
