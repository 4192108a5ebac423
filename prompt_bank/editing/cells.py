"""What people do to single cells of an affinity, as functions from a bank to a changed one."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from fedmpt.common.words import offered
from prompt_bank.editing.affinities import as_mined, with_cell
from prompt_bank.editing.edits import checked
from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.locate import Place, written
from prompt_bank.reading.validation import described
from prompt_bank.schema import Bank, Lift

USUAL, NEVER = 2.0, -2.0
"""Log-lifts that stand for a person's word, in nats: about seven times as likely under the value as without it, and a
seventh."""


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
    at = _place(bank, "conditions", "condition", condition_id, [c.id for c in bank.conditions])
    condition = bank.conditions[at]
    place = written(("conditions", at, "affinity"))
    labels = [known.name for known in bank.labels]
    _place(bank, place, "label", label, labels)
    _place(bank, place, "value", value, condition.values)
    if number is None:
        changed = as_mined(condition, label, value)
    else:
        rounded = _lift(bank, ("conditions", at, "affinity", "rows", label), number)
        changed = with_cell(condition, label, value, rounded, labels)
    conditions = (*bank.conditions[:at], changed, *bank.conditions[at + 1 :])
    return checked(bank.model_copy(update={"conditions": conditions}))


def _place(bank: Bank, place: str, what: str, name: str, known: Sequence[str]) -> int:
    if name not in known:
        raise BankError(bank.name, [Problem(place, f"there is no {what} '{name}'; there are {offered(name, known)}")])
    return list(known).index(name)


def _lift(bank: Bank, place: Place, number: float) -> float:
    try:
        return TypeAdapter[float](Lift).validate_python(number)
    except ValidationError as error:
        raise BankError(bank.name, [Problem(written(place), described(found)) for found in error.errors()]) from error
