"""Parses a bank, or reports all of its problems: syntax, format, types, consistency."""

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
from prompt_bank.reading.locate import JsonSyntaxError, LocatedJson, Place, format_place
from prompt_bank.reading.migrations import UnknownFormat, migrate
from prompt_bank.schema import Bank, Part

BYTE_ORDER_MARK = "\ufeff"

FIELD_NAMES = sorted(
    {field.alias or name for part in Part.__subclasses__() for name, field in part.model_fields.items()}
)
"""The names of all fields in the schema."""

CONFLICT_MARKER = re.compile(r"^<{7} ", re.MULTILINE)
"""Git's conflict marker; no line of JSON starts like this."""

MESSAGES = {
    "missing": "is missing",
    "string_too_short": "is empty",
    "literal_error": "must be {expected}, not {input!r}",
    "greater_than_equal": "must be at least {ge}, not {input}",
    "less_than_equal": "must be at most {le}, not {input}",
    "string_too_long": "has more than {max_length} characters",
}
"""Our messages for pydantic's most frequent error types."""


def validate(text: str, source: Path | str) -> tuple[Bank, tuple[Problem, ...]]:
    """Parse a bank file.

    Returns:
        The bank and its warnings.

    Raises:
        BankError: with all problems, each with place and line.
    """
    located = _parse_json(text.removeprefix(BYTE_ORDER_MARK), source)
    try:
        content = migrate(located.value)
    except UnknownFormat as error:
        problem = Problem("format", str(error), located.line(("format",)))
        raise BankError(source, [*located.problems, problem]) from error
    found = located.problems
    if text.startswith(BYTE_ORDER_MARK):
        message = "the file starts with a byte order mark; recording the bank removes it"
        found = [*found, Problem("", message, 1, severity="warning")]
    return build_bank(content, source, located.line, found)


def build_bank(
    content: dict[str, Any], source: Path | str, line: Callable[[Place], int | None], found: Sequence[Problem] = ()
) -> tuple[Bank, tuple[Problem, ...]]:
    """Validate parsed content in the current format, whatever file it came from (JSON, YAML, CSV).

    Args:
        content: the parsed content.
        source: the file that the problems refer to.
        line: gives the line number of a place in the source.
        found: problems found by the parser.

    Returns:
        The bank and its warnings.

    Raises:
        BankError: with all problems, each with place and line.
    """
    bank, typed = _parse_bank(content, line)
    problems = _first_per_place([*found, *typed])
    known = {problem.place for problem in problems}
    for place, problem in check(content):
        if problem.place not in known:
            problems.append(Problem(problem.place, problem.message, line(place), problem.severity))
    errors = [problem for problem in problems if problem.severity == "error"]
    if bank is None or errors:
        raise BankError(source, sorted(problems, key=lambda problem: problem.line or 0))
    return bank, tuple(problems)


def type_problems(error: ValidationError, base: Place = ()) -> list[Problem]:
    """Pydantic's errors as problems.

    Args:
        error: raised by pydantic.
        base: the place of the validated object in the bank.
    """
    return [Problem(format_place((*base, *found["loc"])), describe_error(found)) for found in error.errors()]


def describe_error(error: ErrorDetails) -> str:
    """Our message for an error of pydantic's."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), FIELD_NAMES, n=1)
        return "is not a field of the schema; " + (f"is '{near[0]}' meant?" if near else "remove it")
    if kind == "string_pattern_mismatch":
        return f"{str(value)!r} does not match {error['ctx']['pattern']}"
    if kind in MESSAGES:
        return MESSAGES[kind].format(**error.get("ctx", {}), input=value)
    return error["msg"].replace("Input should be", "must be", 1)


def _parse_json(text: str, source: Path | str) -> LocatedJson:
    conflict = CONFLICT_MARKER.search(text)
    if conflict:
        line = text.count("\n", 0, conflict.start()) + 1
        message = "there is an unresolved git conflict here; keep one side and remove the conflict markers"
        raise BankError(source, [Problem("", message, line)])
    try:
        located = LocatedJson(text)
    except JsonSyntaxError as error:
        raise BankError(source, [Problem("", str(error), error.line)]) from error
    if not isinstance(located.value, dict):
        raise BankError(source, [Problem("", "a bank is a JSON object {…}", 1)])
    return located


def _parse_bank(content: dict[str, Any], line: Callable[[Place], int | None]) -> tuple[Bank | None, list[Problem]]:
    # Strict: "0.4" is not a number. Pydantic's strict mode turns lists into tuples only when it validates JSON.
    try:
        return Bank.model_validate_json(json.dumps(content), strict=True, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, [
            Problem(format_place(place), describe_error(found), line(place))
            for found in error.errors()
            for place in [tuple(found["loc"])]
        ]


def _first_per_place(problems: list[Problem]) -> list[Problem]:
    return list({problem.place: problem for problem in reversed(problems)}.values())[::-1]
