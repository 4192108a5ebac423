"""The differences between two versions of a bank, formatted for side-by-side display."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from prompt_bank.editing.diff import Change, diff
from prompt_bank.editing.matrix_text import MAX_LISTED, cell_changes
from prompt_bank.schema import Bank

DISPLAY_NAMES = {
    "text": "words",
    "position": "order",
    "because": "reason",
    "affinity": "how usual",
    "corrected": "set by hand",
    "asked": "obtained by",
    "": "labels",
}
"""The page's names of fields, where they differ from the schema's."""

DERIVED = "origin"
"""A field that follows from the others, so its changes are not shown."""

SHOWN_FIELDS = ("text", "status", "definition", "values", "note", "conditions", "because")
"""The fields shown for a condition or dependency that was added or removed."""


def differences(before: Bank, after: Bank) -> list[dict[str, Any]]:
    """The differences, grouped by condition, dependency or other part.

    Returns:
        Entries with part, title, change ("added", "removed" or "changed") and fields. Each field has field (its name),
        before and after as text; "" if there is no value.
    """
    words = {c.id: c.text for bank in (before, after) for c in bank.conditions}
    groups = groupby(diff(before, after), key=lambda change: (change.part, change.key))
    entries = (_entry(part, key, list(changes), words) for (part, key), changes in groups)
    return [entry for entry in entries if entry["fields"]]


def _entry(part: str, key: str, changes: list[Change], words: dict[str, str]) -> dict[str, Any]:
    first = changes[0]
    if first.kind in ("added", "removed"):
        row = first.before or first.after
        fields = [(field, row[field]) for field in SHOWN_FIELDS if row.get(field)]
        sides = [(f, v, None) if first.kind == "removed" else (f, None, v) for f, v in fields]
    else:
        sides = [
            (change.field, *FIELD_SIDES.get(change.field, _both)(change))
            for change in changes
            if change.field != DERIVED
        ]
    title = words.get(key, key) if part == "condition" else key
    shown = _value_formatter(words)
    return {
        "part": part,
        "title": title,
        "change": first.kind if first.kind in ("added", "removed") else "changed",
        "fields": [
            {"field": DISPLAY_NAMES.get(field, field), "before": shown(field, before), "after": shown(field, after)}
            for field, before, after in sides
        ],
    }


def _affinity_sides(change: Change) -> tuple[str, str]:
    """The first differing cells, one per line, and the number of further ones."""
    first, more = cell_changes(change.before, change.after)
    before = "\n".join(f"{c.cell}: {c.before}" for c in first)
    after = [*(f"{c.cell}: {c.after}" for c in first), *(f"{count} cells" for count in more)]
    return before, "\n".join(after)


def _correction_sides(change: Change) -> tuple[list[Any], list[Any]]:
    """The corrections that only one side has."""
    before, after = change.before or [], change.after or []
    return [c for c in before if c not in after], [c for c in after if c not in before]


def _both(change: Change) -> tuple[Any, Any]:
    return change.before, change.after


FIELD_SIDES: dict[str, Callable[[Change], tuple[Any, Any]]] = {
    "affinity": _affinity_sides,
    "corrected": _correction_sides,
}
"""Fields that show only their differing elements."""


def _value_formatter(words: dict[str, str]) -> Callable[[str, Any], str]:
    """A function that formats the value of a field."""
    formatters: dict[str, Callable[[Any], str]] = {
        "position": lambda place: f"place {place + 1}",
        "support": lambda share: f"{100 * share:.0f} %",
        "evidence": lambda ids: f"{len(ids)} description" + ("s" if len(ids) != 1 else ""),
        "conditions": lambda ids: ", ".join(words.get(i, i) for i in ids),
        "corrected": lambda cells: "\n".join([*map(_cell, cells[:MAX_LISTED]), *_rest(cells)]),
        "asked": lambda readings: "\n".join(f"{reading['kind']} by {reading['model']}" for reading in readings),
        "control": lambda control: f"{control['how']}: {len(control['rows'])} labels",
    }

    def shown(field: str, value: Any) -> str:
        if value is None or value == "":
            return ""
        if field in formatters:
            return formatters[field](value)
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return shown


def _rest(cells: list[Any]) -> list[str]:
    return [f"and {len(cells) - MAX_LISTED} more"] if len(cells) > MAX_LISTED else []


def _cell(cell: dict[str, Any]) -> str:
    return f"{cell['label']} × {cell['value']}" + (f" ({cell['by']})" if cell["by"] else "")
