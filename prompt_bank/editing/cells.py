"""What people do to single cells of an affinity, as functions from a bank to a changed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from fedmpt.common.words import suggestions
from prompt_bank.editing.affinities import as_mined, with_cell
from prompt_bank.editing.edits import checked
from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.locate import Place, written
from prompt_bank.reading.validation import described
from prompt_bank.schema import Bank, Condition, Lift

USUAL, NEVER = 2.0, -2.0
"""Log-lifts that stand for a person's word, in nats: about seven times as likely under the value as without it, and a
seventh."""


Cell = tuple[str, str]
"""A label and a value."""


def correct(bank: Bank, condition_id: str, label: str, value: str, number: float | None) -> Bank:
    """Set a cell of a condition's affinity, which mining again then leaves.

    Args:
        bank: the bank.
        condition_id: the condition.
        label: which row.
        value: which column.
        number: log-lift in nats; None takes a correction back, so that the cell is as it was mined.

    Raises:
        BankError: there is no such condition, label or value, or the number is out of range.
    """
    return correct_all(bank, condition_id, {(label, value): number})


def correct_all(bank: Bank, condition_id: str, cells: Mapping[Cell, float | None]) -> Bank:
    """Set some cells of a condition's affinity; see `correct`.

    Raises:
        BankError: with all problems at once; that of a cell is named by its label.
    """
    at = _place(bank, "conditions", "condition", condition_id, [c.id for c in bank.conditions])
    condition = bank.conditions[at]
    labels = [known.name for known in bank.labels]
    problems: list[Problem] = []
    for (label, value), number in cells.items():
        try:
            condition = _set(bank, at, condition, labels, label, value, number)
        except BankError as error:
            problems += error.problems
    if problems:
        raise BankError(bank.name, problems)
    conditions = (*bank.conditions[:at], condition, *bank.conditions[at + 1 :])
    return checked(bank.model_copy(update={"conditions": conditions}))


def _set(
    bank: Bank, at: int, condition: Condition, labels: Sequence[str], label: str, value: str, number: float | None
) -> Condition:
    place = written(("conditions", at, "affinity"))
    _place(bank, place, "label", label, labels)
    _place(bank, place, "value", value, condition.values)
    if number is None:
        return as_mined(condition, label, value)
    rounded = _lift(bank, ("conditions", at, "affinity", "rows", label), number)
    return with_cell(condition, label, value, rounded, labels)


def _place(bank: Bank, place: str, what: str, name: str, known: Sequence[str]) -> int:
    if name not in known:
        raise BankError(
            bank.name, [Problem(place, f"there is no {what} '{name}'; there are {suggestions(name, known)}")]
        )
    return list(known).index(name)


def _lift(bank: Bank, place: Place, number: float) -> float:
    try:
        return TypeAdapter[float](Lift).validate_python(number)
    except ValidationError as error:
        raise BankError(bank.name, [Problem(written(place), described(found)) for found in error.errors()]) from error
