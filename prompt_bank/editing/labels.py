"""Edits of labels' attributes, and what mining them again may change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pydantic import ValidationError

from fedmpt.common.words import suggestions
from prompt_bank.editing.requirements import fail, require_valid
from prompt_bank.errors import BankError
from prompt_bank.reading.validation import type_problems
from prompt_bank.schema import Bank, Label


def set_attributes(bank: Bank, name: str, attributes: Sequence[str]) -> Bank:
    """The bank with other attributes of a label, which count as a person's.

    Raises:
        BankError: there is no such label, or an attribute is invalid.
    """
    at = next((at for at, label in enumerate(bank.labels) if label.name == name), None)
    if at is None:
        near = suggestions(name, [label.name for label in bank.labels])
        fail(bank, "labels", f"there is no label '{name}'; there are {near}")
    given = {**bank.labels[at].model_dump(), "attributes": tuple(attributes)}
    try:
        changed = _marked(bank.labels[at], Label.model_validate(given))
    except ValidationError as error:
        raise BankError(bank.name, type_problems(error, ("labels", at))) from error
    return require_valid(bank.model_copy(update={"labels": (*bank.labels[:at], changed, *bank.labels[at + 1 :])}))


def mark_labels(before: Iterable[Label], after: Iterable[Label]) -> tuple[Label, ...]:
    """The labels as a person wrote them, with a mark at those whose attributes differ from before."""
    known = {label.name: label for label in before}
    return tuple(_marked(known.get(label.name), label) for label in after)


def update_attributes(
    existing: Iterable[Label], mined: Iterable[Label], name: Callable[[str], str | None]
) -> tuple[Label, ...]:
    """The existing labels with newly mined attributes, except where a person changed them or nothing was mined.

    Args:
        existing: of the bank.
        mined: labels, with or without attributes.
        name: from a mined label to the bank's label; None if the bank does not have it.
    """
    new = {name(label.name): label.attributes for label in mined if label.attributes}
    return tuple(
        label
        if label.attributes_edited or label.name not in new
        else label.model_copy(update={"attributes": new[label.name]})
        for label in existing
    )


def _marked(before: Label | None, after: Label) -> Label:
    same = after.attributes == (before.attributes if before else ())
    return after if same else after.model_copy(update={"attributes_edited": True})
