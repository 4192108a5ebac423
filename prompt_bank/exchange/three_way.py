"""Three-way merge of edits from another program into a bank that may have changed since the export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmpt.common.words import suggestions
from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange.rewriting import READ_ONLY_FIELDS, Row, apply_rewrite
from prompt_bank.reading.locate import Place
from prompt_bank.schema import Bank


@dataclass(frozen=True)
class FieldChange:
    """The values of a field before and after an edit; they may be equal.

    Attributes:
        before: the exported JSON value.
        after: the imported JSON value.
    """

    before: Any
    after: Any


@dataclass(frozen=True)
class ConditionEdit:
    """The imported fields of one condition.

    Attributes:
        place: for messages, "row 3" or "task 2".
        line: line number in the imported file.
        condition_id: the condition's id; "" for a new one.
        cells: the fields by name.
    """

    place: str
    line: int | None
    condition_id: str
    cells: dict[str, FieldChange]


def merge_edits(bank: Bank, edits: Sequence[ConditionEdit], source: Path | str, removed: Sequence[str] = ()) -> Bank:
    """The bank with the changed fields of the edits; unchanged fields keep the bank's current values.

    Args:
        bank: the current bank.
        edits: the imported edits.
        source: the file that the problems refer to.
        removed: ids of conditions to remove.

    Raises:
        BankError: with all problems: unknown conditions, invalid fields, and conflicts, fields that also changed in
            the bank.
    """
    rows = {
        c.id: c.model_dump(mode="json", exclude=set(READ_ONLY_FIELDS)) for c in bank.conditions if c.id not in removed
    }
    added: list[Row] = []
    origin: dict[int, ConditionEdit] = {}
    problems: list[Problem] = []
    seen: dict[str, ConditionEdit] = {}
    for edit in edits:
        changed = {name: cell for name, cell in edit.cells.items() if cell.after != cell.before}
        if not edit.condition_id:
            origin[len(rows) + len(added)] = edit
            added.append({name: cell.after for name, cell in edit.cells.items()})
            continue
        if edit.condition_id in seen:
            message = f"'{edit.condition_id}' is already at {seen[edit.condition_id].place}"
            problems.append(Problem(edit.place, message, edit.line))
        seen[edit.condition_id] = edit
        row = rows.get(edit.condition_id)
        if row is None:
            if changed:
                near = suggestions(edit.condition_id, list(rows))
                message = f"the bank no longer has a condition '{edit.condition_id}'; there are {near}"
                problems.append(Problem(edit.place, message, edit.line))
            continue
        origin[list(rows).index(edit.condition_id)] = edit
        for name, cell in changed.items():
            if row[name] not in (cell.before, cell.after):
                message = (
                    f"{name} of '{edit.condition_id}' was {_value_text(cell.before)}; it is {_value_text(cell.after)} "
                    f"here and {_value_text(row[name])} in the bank: make the two the same"
                )
                problems.append(Problem(edit.place, message, edit.line))
            row[name] = cell.after
    if problems:
        raise BankError(source, problems)

    def line(place: Place) -> int | None:
        at = place[1] if len(place) > 1 and place[0] == "conditions" else None
        return origin[at].line if isinstance(at, int) and at in origin else None

    return apply_rewrite(bank, [*rows.values(), *added], source, line)


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return f"'{value}'"
