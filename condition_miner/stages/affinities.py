"""Stage affinities: how usual each label is under each value of a condition, for the conditions of recipe.py.

Labels depend on each other through values, so C·V small numbers tell what C² combinations would. A condition that was
mined before and means the same takes the values and numbers; else a new one is proposed: each meaning has one home.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from condition_miner.stages.affinity.asked import read_lists, read_yes_no
from condition_miner.stages.affinity.next_word import read_next_words
from condition_miner.stages.affinity.recipe import FRONT, SOUGHT, Sought
from condition_miner.stages.affinity.ways import Way, choose_way
from condition_miner.stages.questions import Questions
from prompt_bank.editing.conditions import make_id
from prompt_bank.schema import Affinity, Condition, Label, Reading

if TYPE_CHECKING:
    from condition_miner.stages.affinity.numbers import Readings

SAID = {
    "yes-no": "the server gives log-probabilities in chats alone; affinities are asked by yes or no: slower",
    "lists": "the server gives no log-probabilities; affinities are asked for in words, which tell less",
}
"""What the user is told of a way that is not the best."""


def affinities(
    questions: Questions, labels: Sequence[Label], conditions: Sequence[Condition], known: Sequence[Condition] = ()
) -> list[Condition]:
    """The conditions with affinities, and those of the recipe that have no home among them.

    Args:
        questions: asks.
        labels: C labels.
        conditions: mined before.
        known: of the bank that is mined again; a new condition takes the words of one that means the same.

    Raises:
        MiningFailed: answers are missing.
    """
    from condition_miner.stages.affinity.numbers import centred

    names = [label.name for label in labels]
    way = choose_way(questions)
    if way.kind in SAID:
        questions.asker.notice(SAID[way.kind])
    readings = _read(questions, names, way)
    found = list(conditions)
    homes = homes_of(SOUGHT, conditions)
    for sought in SOUGHT:
        told = readings[sought.name]
        if not told.words:
            questions.asker.notice(f"no answer tells the labels apart by {sought.name}, which is left out")
            continue
        rows = {name: tuple(row) for name, row in zip(names, centred(told.numbers).tolist(), strict=True)}
        asked = (Reading(kind=way.kind, wordings=_wordings(sought, way), model=questions.model),)
        update = {"values": told.words, "affinity": Affinity(rows=rows, asked=asked)}
        home = homes.get(sought.name)
        if home is None:
            found.append(_proposed(sought, known, {c.id for c in found}).model_copy(update=update))
        else:
            found = [c.model_copy(update=update) if c.id == home else c for c in found]
    return found


def _read(questions: Questions, labels: Sequence[str], way: Way) -> dict[str, Readings]:
    """For each sought condition its values, and a logarithm of how usual a label is under one."""
    if way.kind == "next-token":
        return read_next_words(questions, labels, way.top)
    return (read_yes_no if way.kind == "yes-no" else read_lists)(questions, labels)


def _wordings(sought: Sought, way: Way) -> tuple[str, ...]:
    if way.kind == "next-token":
        return tuple(f"{FRONT} {wording}" for wording in sought.sentences)
    return (sought.question,)


def homes_of(sought: Sequence[Sought], conditions: Sequence[Condition]) -> dict[str, str]:
    """For each sought condition the id of the first one that means the same, if there is one; each has one home."""
    homes: dict[str, str] = {}
    for one in sought:
        free = (c.id for c in conditions if one.is_meant_by(c.text) and c.id not in homes.values())
        home = next(free, None)
        if home is not None:
            homes[one.name] = home
    return homes


def _proposed(sought: Sought, known: Sequence[Condition], taken: set[str]) -> Condition:
    """A new condition, in the words of a known one of this meaning, so that mining again finds it."""
    there = homes_of([sought], known).get(sought.name)
    text = next((c.text for c in known if c.id == there), sought.name)
    return Condition(id=make_id(text, taken), text=text, definition=sought.definition)
