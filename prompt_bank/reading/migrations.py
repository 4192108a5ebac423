"""Older file formats brought to the newest, step by step. Append only: a step that was released is never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedmpt.common.words import fold

FORMAT = 2
"""The newest format, the one that schema.py describes."""


def _values_are_columns(content: dict[str, Any]) -> dict[str, Any]:
    """Format 2: the values of a condition are the columns of its affinity, so that each stands there once."""
    conditions = content.get("conditions")
    if not isinstance(conditions, list):
        return {**content, "format": 2}
    return {**content, "format": 2, "conditions": [_with_distinct_values(condition) for condition in conditions]}


def _with_distinct_values(condition: Any) -> Any:
    values = condition.get("values") if isinstance(condition, dict) else None
    if not isinstance(values, list):
        return condition
    # What is no text stays, for the types to complain about.
    first: dict[Any, Any] = {}
    for place, value in enumerate(values):
        first.setdefault(fold(value) if isinstance(value, str) else place, value)
    return {**condition, "values": list(first.values())}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _values_are_columns}
"""From format n to n + 1."""


class UnknownFormat(ValueError):
    """A format that this version does not read."""


def migrate(content: dict[str, Any]) -> dict[str, Any]:
    """The content in the newest format.

    Raises:
        UnknownFormat: newer than this version knows, or not a number.
    """
    if "format" not in content:
        raise UnknownFormat(f"is missing; this version reads formats up to {FORMAT}")
    found = content["format"]
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise UnknownFormat(f"must be a whole number, at least 1, not {found!r}")
    if found > FORMAT:
        raise UnknownFormat(f"is {found}, newer than this version reads (up to {FORMAT}): update fedmpt")
    for step in range(found, FORMAT):
        content = MIGRATIONS[step](content)
    return content
