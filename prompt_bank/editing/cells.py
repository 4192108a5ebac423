"""Edits of single cells of an affinity, as functions from a bank to a changed bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter, ValidationError

from prompt_bank.editing.affinities import revert_cell, set_cell
from prompt_bank.editing.requirements import condition_index, index_of, require_valid
from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.locate import Place, format_place
from prompt_bank.reading.validation import type_problems
from prompt_bank.schema import Bank, Condition, Lift

USUAL, NEVER = 2.0, -2.0
"""The log-lifts of the review page's "usual" and "never", in nats: seven times as likely, or a seventh."""

Cell = tuple[str, str]
"""A label and a value."""


def correct(bank: Bank, condition_id: str, label: str, value: str, number: float | None) -> Bank:
    """Correct a cell of a condition's affinity; mining again does not change it.

    Args:
        bank: the bank.
        condition_id: the condition.
        label: the row.
        value: the column.
        number: log-lift in nats; None reverts the correction, which restores the mined number.

    Raises:
        BankError: there is no such condition, label or value, or the number is out of range.
    """
    return correct_all(bank, condition_id, {(label, value): number})


def correct_all(bank: Bank, condition_id: str, cells: Mapping[Cell, float | None]) -> Bank:
    """Correct several cells of a condition's affinity; see `correct`.

    Raises:
        BankError: with the problems of all cells.
    """
    at = condition_index(bank, condition_id)
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
    return require_valid(bank.model_copy(update={"conditions": conditions}))


def _set(
    bank: Bank, at: int, condition: Condition, labels: Sequence[str], label: str, value: str, number: float | None
) -> Condition:
    place = format_place(("conditions", at, "affinity"))
    index_of(bank, place, "label", label, labels)
    index_of(bank, place, "value", value, condition.values)
    if number is None:
        return revert_cell(condition, label, value)
    rounded = _lift(bank, ("conditions", at, "affinity", "rows", label), number)
    return set_cell(condition, label, value, rounded, labels)


def _lift(bank: Bank, place: Place, number: float) -> float:
    try:
        return TypeAdapter[float](Lift).validate_python(number)
    except ValidationError as error:
        raise BankError(bank.name, type_problems(error, place)) from error
