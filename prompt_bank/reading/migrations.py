"""Migrations from older file formats, one step per format. A released step is never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedmpt.common.words import fold

FORMAT = 2
"""The current format, described by schema.py."""


def _to_format_2(content: dict[str, Any]) -> dict[str, Any]:
    """To format 2, in which the values of a condition are distinct, as they are the columns of its affinity."""
    conditions = content.get("conditions")
    if not isinstance(conditions, list):
        return {**content, "format": 2}
    return {**content, "format": 2, "conditions": [_without_duplicate_values(condition) for condition in conditions]}


def _without_duplicate_values(condition: Any) -> Any:
    values = condition.get("values") if isinstance(condition, dict) else None
    if not isinstance(values, list):
        return condition
    # Values of another type are kept; the type check reports them.
    first: dict[Any, Any] = {}
    for place, value in enumerate(values):
        first.setdefault(fold(value) if isinstance(value, str) else place, value)
    return {**condition, "values": list(first.values())}


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _to_format_2}
"""For each format n the migration to format n + 1."""


class UnknownFormat(ValueError):
    """A format that this version cannot read."""


def migrate(content: dict[str, Any]) -> dict[str, Any]:
    """The content migrated to the current format.

    Raises:
        UnknownFormat: the format is missing, not a positive integer, or newer than this version.
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
