"""Older file formats brought to the newest, step by step. Append only: a step that was released is never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FORMAT = 1
"""The newest format, the one that schema.py describes."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From format n to n + 1. Format 1 is the first, so there is none yet."""


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
