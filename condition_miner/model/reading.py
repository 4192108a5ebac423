"""Parses the JSON in a model's answer: strictly, then without what surrounds it. The JSON itself is never repaired.

Removed are the thoughts of a reasoning model, a code fence, and prose around JSON objects. Of several objects the one
counts that has the asked form. Truncated JSON, duplicate keys, NaN and Infinity make an answer invalid.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from condition_miner.model.thinking import strip_thinking
from condition_miner.model.untrusted import Unreadable, finite_number, no_constant, whole_number, words

T = TypeVar("T")
_OBJECT = re.compile(r"\{[ \t\r\n]*(?:[\"}]|\Z)")
"""What an object begins with."""


class InvalidAnswer(ValueError):
    """An invalid answer. Its message is shown to the user, and sent to the model as feedback."""

    def __init__(self, problem: str) -> None:
        super().__init__(words(problem))


def parse(text: str) -> Any:
    """The JSON value in an answer.

    Raises:
        InvalidAnswer: no JSON, several objects, duplicate keys, NaN or Infinity, or too deep nesting.
    """
    return parse_fitting(text, lambda value: value)


def parse_fitting(text: str, fit: Callable[[Any], T]) -> T:
    """What `fit` makes of the one JSON value in an answer that it takes.

    Args:
        text: the raw answer.
        fit: raises InvalidAnswer for a value of another form.

    Raises:
        InvalidAnswer: there is no such value, or there are several different ones.
    """
    fitting: list[T] = []
    problem: InvalidAnswer | None = None
    for value in _values(text):
        try:
            made = fit(value)
        except InvalidAnswer as error:
            problem = problem or error
            continue
        if made not in fitting:
            fitting.append(made)
        if len(fitting) > 1:
            raise InvalidAnswer("there are several JSON objects in the answer")
    if fitting:
        return fitting[0]
    raise problem or InvalidAnswer("there is no JSON in the answer")


def _values(text: str) -> Iterator[Any]:
    """The whole text as one JSON value, else the JSON objects in it."""
    try:
        yield _unwrapped(_load(text.strip("\ufeff \t\r\n")))
        return
    except json.JSONDecodeError:
        pass
    stripped = strip_thinking(text)
    if not stripped:
        raise InvalidAnswer("the answer is empty")
    try:
        yield _unwrapped(_load(stripped))
    except json.JSONDecodeError:
        yield from _objects_in_prose(stripped)


def _unwrapped(value: Any) -> Any:
    """The object itself where it is the only item of a list, or stands as JSON in a string."""
    if isinstance(value, str):
        try:
            inner = _load(value)
        except json.JSONDecodeError:
            return value
        return inner if isinstance(inner, dict) else value
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _load(text: str) -> Any:
    with _explained():
        return _DECODER.decode(text)


def _objects_in_prose(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a prose text, in order.

    A brace behind which no key follows is prose. An object that breaks off or is broken ends the search with an error,
    so that no inner object of it is taken for the answer; so the search takes linear time, too.
    """
    end = 0
    while begun := _OBJECT.search(text, end):
        try:
            with _explained():
                found, end = _DECODER.raw_decode(text, begun.start())
        except json.JSONDecodeError as error:
            raise InvalidAnswer(f"not JSON: {error.msg} at character {error.pos}") from error
        yield found


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what the decoder raises into InvalidAnswer, but for errors of syntax."""
    try:
        yield
    except RecursionError as error:
        raise InvalidAnswer("the JSON is nested too deeply") from error
    except Unreadable as error:
        raise InvalidAnswer(str(error)) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counted.items() if count > 1)
        raise InvalidAnswer(f"the key '{twice[:60]}' stands twice")
    return content


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=no_constant, parse_int=whole_number, parse_float=finite_number
)
