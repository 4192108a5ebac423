"""What people do to a bank, as functions from a bank to a changed one.

Each raises BankError, with place and what to do, rather than return a bank that could not be saved; the bank that it
was given stays as it is. Ids are stable: no change of words changes an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NoReturn

from pydantic import ValidationError

from fedmpt.common.words import suggestions
from prompt_bank.editing.affinities import aligned, united
from prompt_bank.editing.conditions import as_edited, identifier, once, united_support
from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.checks import check
from prompt_bank.reading.locate import Place, written
from prompt_bank.reading.validation import described
from prompt_bank.schema import Bank, Condition, Dependency

Status = Literal["proposed", "accepted", "rejected"]


def accept(bank: Bank, ids: Iterable[str]) -> Bank:
    """Take conditions into training.

    Raises:
        BankError: there is no such condition, or another one with the same words is in use.
    """
    return _with_status(bank, ids, "accepted")


def reject(bank: Bank, ids: Iterable[str]) -> Bank:
    """Keep conditions out of training. They stay in the bank, so that mining again does not propose them anew.

    Raises:
        BankError: there is no such condition.
    """
    return _with_status(bank, ids, "rejected")


def propose(bank: Bank, ids: Iterable[str]) -> Bank:
    """Take a decision back: the conditions are proposals again.

    Raises:
        BankError: there is no such condition, or another one with the same words is in use.
    """
    return _with_status(bank, ids, "proposed")


def rename(bank: Bank, condition_id: str, text: str) -> Bank:
    """Give a condition other words for the prompts; its id stays.

    Raises:
        BankError: there is no such condition, or the words do not fit into a prompt or are another condition's.
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
    """Change fields of a condition; None leaves a field as it is.

    A mined condition with another text, definition or other values becomes an edited one. A note says something about
    the condition and leaves its origin. The affinity follows the values: where there are as many as before, one in
    the place of one that is gone is that one with another name; others are new, and have no numbers yet.

    Raises:
        BankError: there is no such condition, or a field is wrong.
    """
    at = _index(bank, condition_id)
    given = {"text": text, "definition": definition, "values": values, "note": note}
    changed = _condition(bank.conditions[at], at, {name: value for name, value in given.items() if value is not None})
    changed = aligned(bank.conditions[at], as_edited(bank.conditions[at], changed))
    return _with_conditions(bank, _replaced(bank.conditions, at, changed))


def merge(bank: Bank, ids: Sequence[str], *, text: str, definition: str | None = None) -> Bank:
    """Make one condition of several: the first id stays, the others go.

    Values, affinities, kinds, evidence, notes and dependencies are united; of each cell the first number is taken, a
    person's before a mined one. It is accepted if one of them was, else it has the first
    one's status. Its support is counted again from the captions' factors, or where the evidence of each is complete;
    else it is unknown.

    Args:
        bank: the bank.
        ids: at least two conditions; the first one's id and place in the order stay.
        text: the words of the one that they become.
        definition: its definition; None takes the first one's.

    Raises:
        BankError: fewer than two, one twice, there is no such condition, or a field is wrong.
    """
    _distinct(bank, ids)
    if len(ids) < 2:
        _fail(bank, "conditions", "a merge takes at least two conditions; rename changes one")
    merged = [bank.conditions[_index(bank, i)] for i in ids]
    first, at = merged[0], _index(bank, ids[0])
    changes = {
        "text": text,
        "definition": first.definition if definition is None else definition,
        "status": "accepted" if any(c.status == "accepted" for c in merged) else first.status,
        "origin": "added" if all(c.origin == "added" for c in merged) else "edited",
        "support": united_support(merged, bank.captions),
        "values": once((value for c in merged for value in c.values), folded=True),
        "kinds": once(kind for c in merged for kind in c.kinds),
        "evidence": once(i for c in merged for i in c.evidence),
        "note": "\n".join(once(c.note for c in merged if c.note)),
    }
    gone = set(ids[1:])
    one = _condition(first, at, changes)
    one = one.model_copy(update={"affinity": united(merged, one.values)})
    conditions = _replaced(bank.conditions, at, one)
    kept = tuple(c for c in conditions if c.id not in gone)
    return _with_conditions(bank, kept, dict.fromkeys(gone, (ids[0],)))


def split(bank: Bank, condition_id: str, parts: Sequence[tuple[str, str, Sequence[str]]]) -> Bank:
    """Make several conditions of one. The first part keeps the id; the others stand behind it with new ones.

    Nobody has said yet which caption or dependency belongs to which part: each part gets all of them, and its support
    is unknown. Of the affinity each part has the columns of its values.

    Args:
        bank: the bank.
        condition_id: the condition to split.
        parts: text, definition and values of each part, at least two.

    Raises:
        BankError: fewer than two parts, there is no such condition, or a field is wrong.
    """
    at = _index(bank, condition_id)
    if len(parts) < 2:
        _fail(bank, written(("conditions", at)), "a split makes at least two conditions; edit changes one")
    whole = bank.conditions[at]
    taken = {c.id for c in bank.conditions}
    made: list[Condition] = []
    for number, (text, definition, values) in enumerate(parts):
        name = condition_id if number == 0 else identifier(text, taken)
        taken.add(name)
        changes = {
            "id": name,
            "text": text,
            "definition": definition,
            "values": values,
            "support": None,
            "origin": "added" if whole.origin == "added" else "edited",
        }
        made.append(aligned(whole, _condition(whole, at + number, changes), renamed=False))
    conditions = (*bank.conditions[:at], *made, *bank.conditions[at + 1 :])
    return _with_conditions(bank, conditions, {condition_id: tuple(c.id for c in made)})


def move(bank: Bank, condition_id: str, position: int) -> Bank:
    """Give a condition another place in the order, which is the order of the prompts.

    Args:
        bank: the bank.
        condition_id: the condition.
        position: its index in the changed order, from 0.

    Raises:
        BankError: there is no such condition, or no such position.
    """
    at = _index(bank, condition_id)
    if not 0 <= position < len(bank.conditions):
        message = f"there is no position {position}; there are 0 to {len(bank.conditions) - 1}"
        _fail(bank, written(("conditions", at)), message)
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
    """Put a condition of a person's own behind the others; its id is made of its text.

    Raises:
        BankError: a field is wrong, or a condition in use has the same words.
    """
    name = identifier(text, {c.id for c in bank.conditions})
    fields = {"text": text, "definition": definition, "values": values, "note": note, "status": status}
    blank = Condition(id=name, text="?", origin="added")
    return _with_conditions(bank, (*bank.conditions, _condition(blank, len(bank.conditions), fields)))


def remove(bank: Bank, condition_id: str) -> Bank:
    """Take a condition out; dependencies drop it, and those that named no other one go.

    Raises:
        BankError: there is no such condition.
    """
    at = _index(bank, condition_id)
    return _with_conditions(bank, (*bank.conditions[:at], *bank.conditions[at + 1 :]), {condition_id: ()})


def set_dependency(bank: Bank, labels: Sequence[str], condition_ids: Sequence[str]) -> Bank:
    """Say which conditions govern whether labels occur together; none takes the dependency away.

    Reason and evidence of a dependency of the same labels, in whatever order, stay.

    Raises:
        BankError: fewer than two labels, one twice, or there is no such label or condition.
    """
    there = next((i for i, d in enumerate(bank.dependencies) if set(d.labels) == set(labels)), len(bank.dependencies))
    place = written(("dependencies", there))
    names = [label.name for label in bank.labels]
    for label in labels:
        if label not in names:
            _unknown(bank, place, "label", label, names)
    if len(set(labels)) < max(len(labels), 2):
        _fail(bank, place, "a dependency is between at least two different labels")
    _distinct(bank, condition_ids)
    for i in condition_ids:
        _index(bank, i)
    kept = [d for i, d in enumerate(bank.dependencies) if i == there or set(d.labels) != set(labels)]
    before = kept[there : there + 1]
    if not condition_ids:
        after = []
    elif before:
        after = [before[0].model_copy(update={"conditions": tuple(condition_ids)})]
    else:
        after = [Dependency(labels=tuple(labels), conditions=tuple(condition_ids))]
    dependencies = (*kept[:there], *after, *kept[there + 1 :])
    return checked(bank.model_copy(update={"dependencies": dependencies}))


def _with_status(bank: Bank, ids: Iterable[str], status: Status) -> Bank:
    chosen = {_index(bank, i) for i in ids}
    conditions = (
        c.model_copy(update={"status": status}) if at in chosen else c for at, c in enumerate(bank.conditions)
    )
    return _with_conditions(bank, tuple(conditions))


def _with_conditions(
    bank: Bank, conditions: tuple[Condition, ...], instead: dict[str, tuple[str, ...]] | None = None
) -> Bank:
    """The bank with other conditions, checked; `instead` says what stands in dependencies for an id."""
    dependencies = bank.dependencies
    if instead:
        moved = (_redirected(dependency, instead) for dependency in dependencies)
        dependencies = tuple(dependency for dependency in moved if dependency.conditions)
    return checked(bank.model_copy(update={"conditions": conditions, "dependencies": dependencies}))


def _redirected(dependency: Dependency, instead: dict[str, tuple[str, ...]]) -> Dependency:
    ids = once(new for old in dependency.conditions for new in instead.get(old, (old,)))
    return dependency.model_copy(update={"conditions": ids})


def checked(bank: Bank) -> Bank:
    """The bank itself, if it could be saved.

    Raises:
        BankError: with everything that is wrong with it.
    """
    found = check(bank.model_dump(mode="json", by_alias=True))
    errors = [problem for _, problem in found if problem.severity == "error"]
    if errors:
        raise BankError(bank.name, errors)
    return bank


def _condition(old: Condition, at: int, changes: dict[str, Any]) -> Condition:
    """The condition at an index with other fields; what is wrong with them is named by its place."""
    try:
        return Condition.model_validate({**old.model_dump(), **changes})
    except ValidationError as error:
        places: list[tuple[Place, str]] = [
            (("conditions", at, *found["loc"]), described(found)) for found in error.errors()
        ]
        raise BankError(old.id, [Problem(written(place), message) for place, message in places]) from error


def _index(bank: Bank, condition_id: str) -> int:
    ids = [c.id for c in bank.conditions]
    if condition_id not in ids:
        _unknown(bank, "conditions", "condition", condition_id, ids)
    return ids.index(condition_id)


def _distinct(bank: Bank, ids: Sequence[str]) -> None:
    for i in ids:
        if ids.count(i) > 1:
            _fail(bank, "conditions", f"'{i}' is named twice")


def _replaced(conditions: tuple[Condition, ...], at: int, changed: Condition) -> tuple[Condition, ...]:
    return (*conditions[:at], changed, *conditions[at + 1 :])


def _unknown(bank: Bank, place: str, what: str, name: str, known: Sequence[str]) -> NoReturn:
    _fail(bank, place, f"there is no {what} '{name}'; there are {suggestions(name, known)}")


def _fail(bank: Bank, place: str, message: str) -> NoReturn:
    raise BankError(bank.name, [Problem(place, message)])
