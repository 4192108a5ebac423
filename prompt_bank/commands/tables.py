"""Prints banks and differences on a terminal. Texts are untrusted and printed literally, without markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedmpt.common.words import printable
from prompt_bank.editing.diff import Change
from prompt_bank.editing.matrix_text import cell_changes, matrix_size
from prompt_bank.editing.measures import explained, overlaps
from prompt_bank.schema import Affinity, Bank, Condition, Provenance

HIGH_OVERLAP = 0.5
"""Pairs of conditions whose captions have at least this Jaccard index are pointed out."""

MAX_LISTED_VALUES = 12
"""The maximum number of values listed per condition; further ones are counted."""


def print_bank(bank: Bank) -> None:
    """Print a summary of a bank, its provenance, and its conditions as a table; and the labels' attributes."""
    console = Console()
    counts = f"{len(bank.labels)} labels, {len(bank.captions)} captions, {len(bank.dependencies)} dependencies"
    head = [f"{bank.name}  revision {bank.revision}  {counts}", _provenance_line(bank.provenance)]
    for line in [*head, *([f"images: {bank.about}"] if bank.about else [])]:
        console.print(Text(printable(line)))
    table = Table()
    for heading in ("id", "text", "status", "support", "definition", "values"):
        table.add_column(heading, overflow="fold")
    for condition in bank.conditions:
        table.add_row(*(Text(printable(cell)) for cell in _columns(condition)))
    console.print(table)
    for condition in bank.conditions:
        if condition.affinity:
            console.print(Text(printable(_affinity_line(condition, condition.affinity))))
    for label in bank.labels:
        if label.attributes:
            console.print(Text(printable(f"{label.name}: {', '.join(label.attributes)}")))
    for (a, b), share in overlaps(bank.conditions, explained(bank.captions, bank.conditions)).items():
        if share >= HIGH_OVERLAP:
            console.print(Text(printable(f"{a} and {b} explain {100 * share:.0f} % of their captions in common")))


def _columns(condition: Condition) -> tuple[str, ...]:
    support = "" if condition.support is None else f"{100 * condition.support:.0f} %"
    values = ", ".join(condition.values[:MAX_LISTED_VALUES])
    if len(condition.values) > MAX_LISTED_VALUES:
        values += f" and {len(condition.values) - MAX_LISTED_VALUES} more"
    return condition.id, condition.text, condition.status, support, condition.definition, values


def _affinity_line(condition: Condition, affinity: Affinity) -> str:
    asked = ", ".join(dict.fromkeys(f"{reading.kind} by {reading.model}" for reading in affinity.asked)) or "by hand"
    corrected = f"; {len(affinity.corrected)} corrected" if affinity.corrected else ""
    return f"{condition.id}: {len(affinity.rows)} labels × {len(condition.values)} values ({asked}{corrected})"


def _provenance_line(provenance: Provenance) -> str:
    if provenance == Provenance():
        return "written by hand"
    asked = f"{provenance.requests} requests"
    return f"mined with {provenance.model} ({provenance.endpoint}), {provenance.created}, {asked}"


SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "moved": ("~", "yellow")}
"""The sign and the colour of each kind of change."""

MAX_LISTED = 10
"""The maximum number of changed captions, or of equally changed dependencies, that are listed."""


def change_lines(changes: Sequence[Change]) -> list[Text]:
    """Differences between two banks as text: a heading for each item, and a line for each of its fields.

    Equal changes of several dependencies, such as those after a merge, are shown once.
    """
    captions = [change for change in changes if change.part == "caption"]
    listed = [change for change in changes if change.part != "caption" or len(captions) <= MAX_LISTED]
    alike: dict[tuple[str, str, str], tuple[list[str], list[Text]]] = {}
    for (part, key), found in groupby(listed, key=lambda change: (change.part, change.key)):
        of_one = list(found)
        change_texts = [line for change in of_one for line in _change_lines(change)]
        # Only dependencies are grouped; each change of a condition is a decision.
        same = "\n".join(line.plain for line in change_texts) if part == "dependency" else key
        alike.setdefault((part, of_one[0].kind, same), ([], change_texts))[0].append(key)
    lines: list[Text] = []
    for (part, kind, _), (keys, change_texts) in alike.items():
        sign, colour = SIGNS[kind]
        lines += [Text(printable(f"{sign} {_heading(part, keys)}"), style=colour), *change_texts]
    if len(captions) > MAX_LISTED:
        counted = Counter(change.kind for change in captions)
        lines.append(Text(f"~ captions: {', '.join(f'{count} {kind}' for kind, count in counted.items())}", "yellow"))
    return lines


def _heading(part: str, keys: list[str]) -> str:
    if keys == [part]:
        return part
    if len(keys) == 1:
        return f"{part} {keys[0]}"
    more = f" and {len(keys) - MAX_LISTED} more" if len(keys) > MAX_LISTED else ""
    return f"{len(keys)} dependencies: {', '.join(keys[:MAX_LISTED])}{more}"


def _change_lines(change: Change) -> list[Text]:
    """The lines of one change: the fields of an added item, or both sides of a changed field."""
    if change.kind == "moved":
        return [Text(f"    place       {change.before + 1} → {change.after + 1}")]
    if change.kind == "added":
        return [
            _field(name, Text(matrix_size(value) if name == "affinity" else _value(value)))
            for name, value in change.after.items()
            if _is_informative(change, name, value)
        ]
    if change.kind == "removed":
        return []
    if isinstance(change.before, list) and isinstance(change.after, list):
        return [_field(change.field, _list_change(change.before, change.after))]
    if change.field == "affinity":
        return _cells(change)
    return [_field(change.field, _sides(_value(change.before), _value(change.after)))]


def _cells(change: Change) -> list[Text]:
    """One line for each of the first cells, and one with the number of further ones."""
    first, more = cell_changes(change.before, change.after)
    cells = [Text.assemble(f"{printable(c.cell)}: ", _sides(c.before, c.after)) for c in first]
    return [_field(change.field, line) for line in (*cells, *([Text(f"cells: {', '.join(more)}")] if more else []))]


def _sides(before: str, after: str) -> Text:
    return Text.assemble((before, "red"), " → ", (after, "green"))


def _is_informative(change: Change, name: str, value: Any) -> bool:
    """Whether a field of an added item is neither empty nor part of the heading."""
    shown_above = {"label": "name", "condition": "id", "caption": "id", "dependency": "labels"}
    return name != shown_above.get(change.part) and value not in ("", [], None)


def _list_change(before: list[Any], after: list[Any]) -> Text:
    """The removed and the added elements; the whole list if only the order differs."""
    removed = [item for item in before if item not in after]
    added = [item for item in after if item not in before]
    if not removed and not added:
        return Text(f"in another order: {_value(after)}")
    return Text.assemble(
        *((f"-{_value(item)} ", "red") for item in removed), *((f"+{_value(item)} ", "green") for item in added)
    )


def _field(name: str, text: Text) -> Text:
    return Text.assemble(f"    {printable(name):<12}", text)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value) or "none"
    if isinstance(value, dict) and set(value) == {"how", "rows"}:  # a control
        return f"{_value(value['how'])}: {len(value['rows'])} labels"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(item)}" for name, item in value.items())
    if value is None or value == "":
        return "none"
    return printable(str(value))
