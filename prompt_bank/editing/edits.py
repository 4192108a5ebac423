"""Edits of conditions, as functions from a bank to a changed bank.

Each returns a valid bank or raises BankError; the given bank is not changed. A condition keeps its id when its words
change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import ValidationError

from prompt_bank.editing.affinities import align_affinity, merge_affinities
from prompt_bank.editing.conditions import deduplicate, make_id, mark_edited, merged_support
from prompt_bank.editing.dependencies import replace_conditions
from prompt_bank.editing.requirements import condition_index, fail, require_distinct, require_valid
from prompt_bank.errors import BankError
from prompt_bank.reading.locate import format_place
from prompt_bank.reading.validation import type_problems
from prompt_bank.schema import Bank, Condition

Status = Literal["proposed", "accepted", "rejected"]


def accept(bank: Bank, ids: Iterable[str]) -> Bank:
    """Accept conditions for training.

    Raises:
        BankError: there is no such condition, or another condition that is not rejected has the same words.
    """
    return _with_status(bank, ids, "accepted")


def reject(bank: Bank, ids: Iterable[str]) -> Bank:
    """Exclude conditions from training. They stay in the bank, so that mining again does not propose them again.

    Raises:
        BankError: there is no such condition.
    """
    return _with_status(bank, ids, "rejected")


def propose(bank: Bank, ids: Iterable[str]) -> Bank:
    """Revert decisions: the conditions are proposals again.

    Raises:
        BankError: there is no such condition, or another condition that is not rejected has the same words.
    """
    return _with_status(bank, ids, "proposed")


def rename(bank: Bank, condition_id: str, text: str) -> Bank:
    """Change the words of a condition in the prompts; its id stays.

    Raises:
        BankError: there is no such condition, the words are invalid in a prompt, or another condition has them.
    """
    return edit(bank, condition_id, text=text)


def edit(
    bank: Bank,
    condition_id: str,
    *,
    text: str | None = None,
    definition: str | None = None,
    values: Sequence[str] | None = None,
    note: str | None = None,
) -> Bank:
    """Change fields of a condition; None leaves a field unchanged.

    A change of text, definition or values changes the origin of a mined condition to "edited"; a change of the note
    does not. The affinity is aligned to the new values; see `affinities.match_columns` for renamed values.

    Raises:
        BankError: there is no such condition, or a field is invalid.
    """
    at = condition_index(bank, condition_id)
    given = {"text": text, "definition": definition, "values": values, "note": note}
    changed = _condition(bank.conditions[at], at, {name: value for name, value in given.items() if value is not None})
    changed = align_affinity(bank.conditions[at], mark_edited(bank.conditions[at], changed))
    return _with_conditions(bank, _replaced(bank.conditions, at, changed))


def merge(bank: Bank, ids: Sequence[str], *, text: str, definition: str | None = None) -> Bank:
    """Merge conditions into the first one; the others are removed.

    Values, affinities, kinds, evidence, notes and dependencies are united. For each cell of the affinity a corrected
    number takes precedence over a mined one, then an earlier condition over a later one. The status is "accepted" if
    one of the conditions is accepted, otherwise the first one's. See `conditions.merged_support` for the support.

    Args:
        bank: the bank.
        ids: at least two conditions. The merged condition has the id and the position of the first.
        text: the words of the merged condition.
        definition: its definition; None takes the first one's.

    Raises:
        BankError: fewer than two conditions, a repeated or unknown one, or a field is invalid.
    """
    require_distinct(bank, ids)
    if len(ids) < 2:
        fail(bank, "conditions", "a merge needs at least two conditions; use rename to change one")
    merged = [bank.conditions[condition_index(bank, i)] for i in ids]
    first, at = merged[0], condition_index(bank, ids[0])
    changes = {
        "text": text,
        "definition": first.definition if definition is None else definition,
        "status": "accepted" if any(c.status == "accepted" for c in merged) else first.status,
        "origin": "added" if all(c.origin == "added" for c in merged) else "edited",
        "support": merged_support(merged, bank.captions),
        "values": deduplicate((value for c in merged for value in c.values), folded=True),
        "kinds": deduplicate(kind for c in merged for kind in c.kinds),
        "evidence": deduplicate(i for c in merged for i in c.evidence),
        "note": "\n".join(deduplicate(c.note for c in merged if c.note)),
    }
    removed = set(ids[1:])
    one = _condition(first, at, changes)
    one = one.model_copy(update={"affinity": merge_affinities(merged, one.values)})
    conditions = _replaced(bank.conditions, at, one)
    kept = tuple(c for c in conditions if c.id not in removed)
    return _with_conditions(bank, kept, dict.fromkeys(removed, (ids[0],)))


def split(bank: Bank, condition_id: str, parts: Sequence[tuple[str, str, Sequence[str]]]) -> Bank:
    """Split a condition. The first part keeps the id; the other parts follow it and get new ids.

    It is not known which evidence and dependencies belong to which part, so each part gets all of them, and its
    support is None. Each part gets the affinity columns of its values.

    Args:
        bank: the bank.
        condition_id: the condition to split.
        parts: text, definition and values of each part, at least two.

    Raises:
        BankError: fewer than two parts, there is no such condition, or a field is invalid.
    """
    at = condition_index(bank, condition_id)
    if len(parts) < 2:
        fail(bank, format_place(("conditions", at)), "a split needs at least two parts; use edit to change one")
    whole = bank.conditions[at]
    taken = {c.id for c in bank.conditions}
    made: list[Condition] = []
    for number, (text, definition, values) in enumerate(parts):
        name = condition_id if number == 0 else make_id(text, taken)
        taken.add(name)
        changes = {
            "id": name,
            "text": text,
            "definition": definition,
            "values": values,
            "support": None,
            "origin": "added" if whole.origin == "added" else "edited",
        }
        made.append(align_affinity(whole, _condition(whole, at + number, changes), renamed=False))
    conditions = (*bank.conditions[:at], *made, *bank.conditions[at + 1 :])
    return _with_conditions(bank, conditions, {condition_id: tuple(c.id for c in made)})


def move(bank: Bank, condition_id: str, position: int) -> Bank:
    """Move a condition. The order of the conditions is that of the prompts.

    Args:
        bank: the bank.
        condition_id: the condition.
        position: its new index, from 0.

    Raises:
        BankError: there is no such condition, or no such position.
    """
    at = condition_index(bank, condition_id)
    if not 0 <= position < len(bank.conditions):
        message = f"there is no position {position}; there are 0 to {len(bank.conditions) - 1}"
        fail(bank, format_place(("conditions", at)), message)
    others = [c for c in bank.conditions if c.id != condition_id]
    others.insert(position, bank.conditions[at])
    return _with_conditions(bank, tuple(others))


def add(
    bank: Bank,
    text: str,
    definition: str = "",
    values: Sequence[str] = (),
    *,
    note: str = "",
    status: Status = "proposed",
) -> Bank:
    """Append a condition with origin "added"; its id is derived from its text.

    Raises:
        BankError: a field is invalid, or a condition that is not rejected has the same words.
    """
    name = make_id(text, {c.id for c in bank.conditions})
    fields = {"text": text, "definition": definition, "values": values, "note": note, "status": status}
    blank = Condition(id=name, text="?", origin="added")
    return _with_conditions(bank, (*bank.conditions, _condition(blank, len(bank.conditions), fields)))


def remove(bank: Bank, condition_id: str) -> Bank:
    """Remove a condition from the bank and from its dependencies; dependencies without conditions are removed.

    Raises:
        BankError: there is no such condition.
    """
    at = condition_index(bank, condition_id)
    return _with_conditions(bank, (*bank.conditions[:at], *bank.conditions[at + 1 :]), {condition_id: ()})


def _with_status(bank: Bank, ids: Iterable[str], status: Status) -> Bank:
    chosen = {condition_index(bank, i) for i in ids}
    conditions = (
        c.model_copy(update={"status": status}) if at in chosen else c for at, c in enumerate(bank.conditions)
    )
    return _with_conditions(bank, tuple(conditions))


def _with_conditions(
    bank: Bank, conditions: tuple[Condition, ...], replacements: dict[str, tuple[str, ...]] | None = None
) -> Bank:
    """The validated bank with other conditions.

    Args:
        bank: the bank.
        conditions: all of its conditions after the edit.
        replacements: for each removed condition id the ids that take its place in the dependencies.
    """
    dependencies = replace_conditions(bank.dependencies, replacements) if replacements else bank.dependencies
    return require_valid(bank.model_copy(update={"conditions": conditions, "dependencies": dependencies}))


def _condition(old: Condition, at: int, changes: dict[str, Any]) -> Condition:
    """The condition with other fields, validated; `at` is its index, for the places of problems."""
    try:
        return Condition.model_validate({**old.model_dump(), **changes})
    except ValidationError as error:
        raise BankError(old.id, type_problems(error, ("conditions", at))) from error


def _replaced(conditions: tuple[Condition, ...], at: int, changed: Condition) -> tuple[Condition, ...]:
    return (*conditions[:at], changed, *conditions[at + 1 :])
