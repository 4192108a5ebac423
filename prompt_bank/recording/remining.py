"""The numbers of a new mining, put into a condition that is there already: a cell that a person set stays."""

from __future__ import annotations

from collections.abc import Callable

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import aligned, readings, relabelled
from prompt_bank.schema import MOST_VALUES, Affinity, Condition, Correction


def untouched(condition: Condition) -> bool:
    """Whether no person has decided or said anything about a condition."""
    corrected = condition.affinity is not None and condition.affinity.corrected
    return condition.status == "proposed" and condition.origin == "mined" and not condition.note and not corrected


def remined(existing: Condition, mined: Condition, name: Callable[[str], str | None]) -> Condition:
    """The condition with the numbers that it was mined with anew.

    One that no person has touched takes the values and numbers as they are. Otherwise its values stay; new ones come
    behind them unless a person wrote the values. Cells that a person set stay, and remember what mining says of them
    now; a number that was not asked again stays, too.

    Args:
        existing: the condition in the bank.
        mined: of the same words.
        name: from a mined label to the bank's; None for one that the bank does not have.
    """
    affinity = relabelled(mined.affinity, name)
    if affinity is None:
        return existing
    if untouched(existing):
        return existing.model_copy(update={"values": mined.values, "affinity": affinity})
    values = existing.values
    if existing.origin == "mined":
        known = {fold(value) for value in values}
        values = (*values, *(value for value in mined.values if fold(value) not in known))[:MOST_VALUES]
    wider = existing.model_copy(update={"values": values})
    new = aligned(mined.model_copy(update={"affinity": affinity}), wider, renamed=False).affinity
    if new is None:
        return existing
    old = aligned(existing, wider, renamed=False).affinity
    return wider.model_copy(update={"affinity": _over(old, new, values) if old else new})


def _over(old: Affinity, new: Affinity, values: tuple[str, ...]) -> Affinity:
    """New numbers over old ones of the same values, but for the corrected cells."""
    corrected = {(c.label, c.value): c for c in old.corrected}
    nothing: tuple[float | None, ...] = (None,) * len(values)
    rows = {}
    stayed = False
    for label in dict.fromkeys((*old.rows, *new.rows)):
        cells = []
        for value, before, now in zip(values, old.rows.get(label, nothing), new.rows.get(label, nothing), strict=True):
            person = (label, value) in corrected
            cells.append(before if person or now is None else now)
            stayed = stayed or (not person and now is None and before is not None)
            if person and now is not None:
                there = corrected[label, value]
                corrected[label, value] = Correction(label=label, value=value, mined=now, by=there.by)
        rows[label] = tuple(cells)
    asked = readings((new.asked, old.asked)) if stayed else new.asked
    return Affinity(rows=rows, corrected=tuple(corrected.values()), asked=asked)
