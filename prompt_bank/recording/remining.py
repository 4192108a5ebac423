"""Updates an existing condition with newly mined values and numbers; corrected cells are kept."""

from __future__ import annotations

from collections.abc import Callable

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import align_affinity, rename_rows, unique_readings
from prompt_bank.schema import MAX_VALUES, Affinity, Condition, Correction


def is_untouched(condition: Condition) -> bool:
    """Whether no person has decided about, edited, corrected or annotated a condition."""
    corrected = condition.affinity is not None and condition.affinity.corrected
    return condition.status == "proposed" and condition.origin == "mined" and not condition.note and not corrected


def update_from_mining(existing: Condition, mined: Condition, name: Callable[[str], str | None]) -> Condition:
    """The existing condition with the numbers of a newly mined one.

    An untouched condition takes over values and numbers. Otherwise its values are kept, and new values are appended
    unless a person wrote the values. Corrected cells keep their number, and record the newly mined one; a number that
    was not asked again is kept as well.

    Args:
        existing: the condition in the bank.
        mined: the mined condition with the same words.
        name: from a mined label to the bank's label; None if the bank does not have it.
    """
    affinity = rename_rows(mined.affinity, name)
    if affinity is None:
        return existing
    if is_untouched(existing):
        return existing.model_copy(update={"values": mined.values, "affinity": affinity})
    values = existing.values
    if existing.origin == "mined":
        known = {fold(value) for value in values}
        values = (*values, *(value for value in mined.values if fold(value) not in known))[:MAX_VALUES]
    wider = existing.model_copy(update={"values": values})
    new = align_affinity(mined.model_copy(update={"affinity": affinity}), wider, renamed=False).affinity
    if new is None:
        return existing
    old = align_affinity(existing, wider, renamed=False).affinity
    return wider.model_copy(update={"affinity": _overlay(old, new, values) if old else new})


def _overlay(old: Affinity, new: Affinity, values: tuple[str, ...]) -> Affinity:
    """The old affinity overlaid with the new one of the same values, except for the corrected cells."""
    corrected = {(c.label, c.value): c for c in old.corrected}
    nothing: tuple[float | None, ...] = (None,) * len(values)
    rows = {}
    kept_old = False
    for label in dict.fromkeys((*old.rows, *new.rows)):
        cells = []
        for value, before, now in zip(values, old.rows.get(label, nothing), new.rows.get(label, nothing), strict=True):
            is_corrected = (label, value) in corrected
            cells.append(before if is_corrected or now is None else now)
            kept_old = kept_old or (not is_corrected and now is None and before is not None)
            if is_corrected and now is not None:
                there = corrected[label, value]
                corrected[label, value] = Correction(label=label, value=value, mined=now, by=there.by)
        rows[label] = tuple(cells)
    asked = unique_readings((new.asked, old.asked)) if kept_old else new.asked
    return Affinity(rows=rows, corrected=tuple(corrected.values()), asked=asked)
