"""From a file's text to a bank, or to everything that is wrong with it: syntax, format, types, meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.checks import check
from prompt_bank.reading.locate import Located, Place, SyntaxProblem, written
from prompt_bank.reading.migrations import UnknownFormat, migrate
from prompt_bank.schema import Bank, Part

BYTE_ORDER_MARK = "\ufeff"

FIELDS = sorted({field.alias or name for part in Part.__subclasses__() for name, field in part.model_fields.items()})
"""The names of all fields that a bank has anywhere."""

CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
"""How git marks where a merge needs a person; no line of JSON begins so."""

MESSAGES = {
    "missing": "is missing",
    "string_too_short": "is empty",
    "literal_error": "must be {expected}, not {input!r}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
    "string_too_long": "has more than {max_length} characters",
}
"""pydantic's most frequent findings in our words."""


def validate(text: str, source: Path | str) -> tuple[Bank, tuple[Problem, ...]]:
    """A bank and its warnings from a file's text.

    Raises:
        BankError: with all problems at once, each with place and line.
    """
    located = _parsed(text.removeprefix(BYTE_ORDER_MARK), source)
    try:
        content = migrate(located.value)
    except UnknownFormat as error:
        problem = Problem("format", str(error), located.line(("format",)))
        raise BankError(source, [*located.problems, problem]) from error
    found = located.problems
    if text.startswith(BYTE_ORDER_MARK):
        message = "the file begins with a byte order mark; recording the bank removes it"
        found = [*found, Problem("", message, 1, severity="warning")]
    return built(content, source, located.line, found)


def built(
    content: dict[str, Any], source: Path | str, line: Callable[[Place], int | None], found: Sequence[Problem] = ()
) -> tuple[Bank, tuple[Problem, ...]]:
    """A bank and its warnings from JSON content in the newest format, however it was written down.

    Args:
        content: the parsed content.
        source: what the problems name.
        line: where each place stands in the source.
        found: problems that reading it has shown already.

    Raises:
        BankError: with all problems at once, each with place and line.
    """
    bank, typed = _typed(content, line)
    problems = _first_of_each_place([*found, *typed])
    known = {problem.place for problem in problems}
    for place, problem in check(content):
        if problem.place not in known:
            problems.append(Problem(problem.place, problem.message, line(place), problem.severity))
    errors = [problem for problem in problems if problem.severity == "error"]
    if bank is None or errors:
        raise BankError(source, sorted(problems, key=lambda problem: problem.line or 0))
    return bank, tuple(problems)


def described(error: ErrorDetails) -> str:
    """A finding of pydantic's in our words."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), FIELDS, n=1)
        return "is not a field of a bank; " + (f"is '{near[0]}' meant?" if near else "remove it")
    if kind == "string_pattern_mismatch":
        return f"{str(value)!r} does not match {error['ctx']['pattern']}"
    if kind in MESSAGES:
        return MESSAGES[kind].format(**error.get("ctx", {}), input=value)
    return error["msg"].replace("Input should be", "must be", 1)


def _parsed(text: str, source: Path | str) -> Located:
    conflict = CONFLICT.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        message = "git has left both sides of a conflict here; keep one of them and remove git's marks"
        raise BankError(source, [Problem("", message, line)])
    try:
        located = Located(text)
    except SyntaxProblem as error:
        raise BankError(source, [Problem("", str(error), error.line)]) from error
    if not isinstance(located.value, dict):
        raise BankError(source, [Problem("", "a bank is a JSON object {…}", 1)])
    return located


def _typed(content: dict[str, Any], line: Callable[[Place], int | None]) -> tuple[Bank | None, list[Problem]]:
    # Strict, as a file says what it means: "0.4" is no number. Strict lists become tuples only on the way from JSON.
    try:
        return Bank.model_validate_json(json.dumps(content), strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, [
            Problem(written(place), described(found), line(place))
            for found in error.errors()
            for place in [tuple(found["loc"])]
        ]


def _first_of_each_place(problems: list[Problem]) -> list[Problem]:
    return list({problem.place: problem for problem in reversed(problems)}.values())[::-1]
