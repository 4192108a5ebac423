"""Preconditions and postconditions of edits; each raises BankError with the place and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from fedmpt.common.words import suggestions
from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.checks import check
from prompt_bank.schema import Bank


def require_valid(bank: Bank) -> Bank:
    """The bank itself, if it could be saved.

    Raises:
        BankError: with all of its errors.
    """
    found = check(bank.model_dump(mode="json", by_alias=True))
    errors = [problem for _, problem in found if problem.severity == "error"]
    if errors:
        raise BankError(bank.name, errors)
    return bank


def condition_index(bank: Bank, condition_id: str) -> int:
    """The index of a condition.

    Raises:
        BankError: there is no such condition.
    """
    return index_of(bank, "conditions", "condition", condition_id, [c.id for c in bank.conditions])


def index_of(bank: Bank, place: str, what: str, name: str, known: Sequence[str]) -> int:
    """The index of a name in a list.

    Args:
        bank: the bank, for the message.
        place: for the message.
        what: what is named: "condition", "label", "value".
        name: the name.
        known: the existing names.

    Raises:
        BankError: there is no such name; the most similar ones are suggested.
    """
    if name not in known:
        fail(bank, place, f"there is no {what} '{name}'; there are {suggestions(name, known)}")
    return list(known).index(name)


def require_distinct(bank: Bank, ids: Sequence[str]) -> None:
    """Raise BankError if a condition is named twice."""
    for i in ids:
        if ids.count(i) > 1:
            fail(bank, "conditions", f"'{i}' is named twice")


def fail(bank: Bank, place: str, message: str) -> NoReturn:
    """Raise BankError with one problem."""
    raise BankError(bank.name, [Problem(place, message)])
