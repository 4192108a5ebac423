"""What differs between two contents of a bank, in rows that a person reads beside each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from prompt_bank.editing.diff import Change, diff
from prompt_bank.schema import Bank

NAMES = {"text": "words", "position": "order", "because": "reason", "": "labels"}
"""Fields by the names that the page uses, where they differ."""

DERIVED = "origin"
"""Follows from the other fields; a row of its own would say nothing."""

SHOWN = ("text", "status", "definition", "values", "note", "conditions", "because")
"""Of a condition or dependency that was added or removed as a whole."""


def differences(before: Bank, after: Bank) -> list[dict[str, Any]]:
    """The differences, one entry for each condition, dependency or other part.

    Returns:
        Entries of part, title, change ("added", "removed" or "changed") and fields: name, before and after as text;
        "" where one side has nothing.
    """
    words = {c.id: c.text for bank in (before, after) for c in bank.conditions}
    groups = groupby(diff(before, after), key=lambda change: (change.part, change.key))
    entries = (_entry(part, key, list(changes), words) for (part, key), changes in groups)
    return [entry for entry in entries if entry["fields"]]


def _entry(part: str, key: str, changes: list[Change], words: dict[str, str]) -> dict[str, Any]:
    first = changes[0]
    if first.kind in ("added", "removed"):
        row = first.before or first.after
        fields = [(field, row[field]) for field in SHOWN if row.get(field)]
        sides = [(f, v, None) if first.kind == "removed" else (f, None, v) for f, v in fields]
    else:
        sides = [(change.field, change.before, change.after) for change in changes if change.field != DERIVED]
    title = words.get(key, key) if part == "condition" else key
    shown = _shown(words)
    return {
        "part": part,
        "title": title,
        "change": first.kind if first.kind in ("added", "removed") else "changed",
        "fields": [
            {"field": NAMES.get(field, field), "before": shown(field, before), "after": shown(field, after)}
            for field, before, after in sides
        ],
    }


def _shown(words: dict[str, str]) -> Callable[[str, Any], str]:
    """A function from a field and its value to text."""

    def shown(field: str, value: Any) -> str:
        if value is None or value == "":
            return ""
        if field == "position":
            return f"place {value + 1}"
        if field == "support":
            return f"{100 * value:.0f} %"
        if field == "evidence":
            return f"{len(value)} description" + ("s" if len(value) != 1 else "")
        if field == "conditions":
            return ", ".join(words.get(i, i) for i in value)
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return shown
