"""Edits of affinities, the labels × values matrices, when labels, values, conditions or single cells change.

A cell is identified by its label and its value, not by its position: columns follow values, rows follow labels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fedmpt.common.words import fold
from prompt_bank.schema import Affinity, Bank, Condition, Correction, Reading

Cells = tuple[float | None, ...]


def match_columns(before: Sequence[str], after: Sequence[str], renamed: bool = True) -> list[int | None]:
    """For each value after an edit the column that it had before; None for a new value.

    Values are compared without regard to case and Unicode form. If the number of values is unchanged, a new value in
    the position of a removed one is taken to be that value renamed.

    Args:
        before: the values before the edit.
        after: the values after the edit.
        renamed: whether to look for renamed values.
    """
    old, new = [fold(value) for value in before], [fold(value) for value in after]
    places = {value: at for at, value in enumerate(old)}
    in_place = renamed and len(old) == len(new)
    return [places.get(value, at if in_place and old[at] not in new else None) for at, value in enumerate(new)]


def align_affinity(before: Condition, after: Condition, renamed: bool = True) -> Condition:
    """The edited condition with the affinity from before the edit, its columns aligned to the new values."""
    affinity = before.affinity
    if affinity is None or before.values == after.values:
        return after.model_copy(update={"affinity": affinity})
    columns = match_columns(before.values, after.values, renamed)
    if all(column is None for column in columns):
        return after.model_copy(update={"affinity": None})
    names = {before.values[c]: value for c, value in zip(columns, after.values, strict=True) if c is not None}
    rows = {label: tuple(None if c is None else cells[c] for c in columns) for label, cells in affinity.rows.items()}
    corrected = [c.model_copy(update={"value": names[c.value]}) for c in affinity.corrected if c.value in names]
    return after.model_copy(
        update={"affinity": affinity.model_copy(update={"rows": rows, "corrected": tuple(corrected)})}
    )


def rename_rows(affinity: Affinity | None, name: Callable[[str], str | None]) -> Affinity | None:
    """The affinity with renamed labels; None if no row is left.

    Args:
        affinity: of a condition.
        name: from a label's old name to its new one; None removes its row.
    """
    if affinity is None:
        return None
    rows = {new: cells for label, cells in affinity.rows.items() if (new := name(label)) is not None}
    if not rows:
        return None
    corrected = tuple(
        c.model_copy(update={"label": new}) for c in affinity.corrected if (new := name(c.label)) is not None
    )
    return affinity.model_copy(update={"rows": rows, "corrected": corrected})


def merge_affinities(conditions: Sequence[Condition], values: Sequence[str]) -> Affinity | None:
    """The affinity of a merged condition: for each cell the first correction, otherwise the first number.

    Args:
        conditions: the conditions to merge, in order of precedence.
        values: of the merged condition.
    """
    columns = [c.model_copy(update={"values": tuple(values)}) for c in conditions]
    moved = (align_affinity(c, to, renamed=False).affinity for c, to in zip(conditions, columns, strict=True))
    parts = [part for part in moved if part]
    if not parts:
        return None
    rows: dict[str, Cells] = {}
    for part in parts:
        for label, cells in part.rows.items():
            before = rows.get(label, (None,) * len(values))
            rows[label] = tuple(b if a is None else a for a, b in zip(before, cells, strict=True))
    corrected: dict[tuple[str, str], Correction] = {}
    for part in parts:
        for c in part.corrected:
            if (c.label, c.value) not in corrected:  # a correction takes precedence over any mined number
                corrected[c.label, c.value] = c
                rows = _set_number(rows, values, c.label, c.value, _by_cell(part.rows, values)[c.label, c.value])
    return Affinity(rows=rows, corrected=tuple(corrected.values()), asked=unique_readings(p.asked for p in parts))


def unique_readings(asked: Iterable[Sequence[Reading]]) -> tuple[Reading, ...]:
    """The distinct readings, in order."""
    found: list[Reading] = []
    for several in asked:
        found += [reading for reading in several if reading not in found]
    return tuple(found)


def set_cell(condition: Condition, label: str, value: str, number: float | None, labels: Sequence[str]) -> Condition:
    """The condition with a cell set by a person. Setting the mined number removes the correction.

    Args:
        condition: a condition that has the value.
        label: the row.
        value: the column.
        number: the new log-lift; None for "not asked".
        labels: all labels of the bank, for the order of the rows.
    """
    affinity = condition.affinity or Affinity(rows={label: (None,) * len(condition.values)})
    before = cell_lift(condition, label, value)
    known = next((c for c in affinity.corrected if (c.label, c.value) == (label, value)), None)
    mined = known.mined if known else before
    if known and number == before:
        return condition
    others = tuple(c for c in affinity.corrected if c is not known)
    marked = (*others, Correction(label=label, value=value, mined=mined)) if number != mined else others
    rows = _set_number(affinity.rows, condition.values, label, value, number)
    return _replace_affinity(condition, affinity, _in_label_order(rows, labels), marked)


def revert_cell(condition: Condition, label: str, value: str) -> Condition:
    """The condition with the mined number of a cell; its correction is removed."""
    affinity = condition.affinity
    known = next((c for c in affinity.corrected if (c.label, c.value) == (label, value)), None) if affinity else None
    if affinity is None or known is None:
        return condition
    rows = _set_number(affinity.rows, condition.values, label, value, known.mined)
    if all(x is None for x in rows[label]):
        del rows[label]  # the row existed only for this correction
    return _replace_affinity(condition, affinity, rows, tuple(c for c in affinity.corrected if c is not known))


def cell_lift(condition: Condition, label: str, value: str) -> float | None:
    """The log-lift of a label and a value; None if it was not asked."""
    cells = condition.affinity.rows.get(label) if condition.affinity else None
    return cells[condition.values.index(value)] if cells else None


def mark_corrections(before: Condition | None, after: Condition, labels: Collection[str]) -> Condition:
    """The condition with a correction for each number that a person changed in the file.

    Args:
        before: the condition before the edit; None if the person added it.
        after: the condition after the edit.
        labels: the labels whose numbers are compared. A label that is new to the bank may be a renamed one, so its
            numbers are not taken for corrections.
    """
    affinity = after.affinity
    if affinity is None or (before is not None and before.affinity == affinity):
        return after
    was = align_affinity(before, after).affinity if before else None
    old = _by_cell(was.rows, after.values) if was else {}
    corrections = {(c.label, c.value): c for c in affinity.corrected}
    former = {(c.label, c.value): c for c in was.corrected} if was else {}
    for key, number in _by_cell(affinity.rows, after.values).items():
        there = corrections.get(key)
        if key[0] not in labels or number == old.get(key):
            continue
        if there is None:
            mined = former[key].mined if key in former else old.get(key)
            if number != mined:  # otherwise the person reverted a correction
                corrections[key] = Correction(label=key[0], value=key[1], mined=mined)
        elif there == former.get(key):
            corrections[key] = there.model_copy(update={"by": ""})  # it now belongs to whoever records the bank
    changed = affinity.model_copy(update={"corrected": tuple(corrections.values())})
    return after.model_copy(update={"affinity": changed})


def sign_corrections(bank: Bank, by: str) -> Bank:
    """The bank with `by` as the author of all corrections that have none."""
    if not any(not c.by for condition in bank.conditions if condition.affinity for c in condition.affinity.corrected):
        return bank
    conditions = []
    for condition in bank.conditions:
        if condition.affinity:
            corrected = tuple(c if c.by else c.model_copy(update={"by": by}) for c in condition.affinity.corrected)
            affinity = condition.affinity.model_copy(update={"corrected": corrected})
            condition = condition.model_copy(update={"affinity": affinity})  # noqa: PLW2901
        conditions.append(condition)
    return bank.model_copy(update={"conditions": tuple(conditions)})


def _by_cell(rows: Mapping[str, Cells], values: Sequence[str]) -> dict[tuple[str, str], float | None]:
    """The numbers by label and value."""
    return {(label, value): x for label, cells in rows.items() for value, x in zip(values, cells, strict=True)}


def _set_number(
    rows: Mapping[str, Cells], values: Sequence[str], label: str, value: str, number: float | None
) -> dict[str, Cells]:
    cells = list(rows.get(label, (None,) * len(values)))
    cells[values.index(value)] = number
    return {**rows, label: tuple(cells)}


def _in_label_order(rows: Mapping[str, Cells], labels: Sequence[str]) -> dict[str, Cells]:
    """The rows in the order of the labels, so that a new row does not move others in a diff."""
    return {label: rows[label] for label in labels if label in rows}


def _replace_affinity(
    condition: Condition, affinity: Affinity, rows: dict[str, Cells], corrected: tuple[Correction, ...]
) -> Condition:
    changed = affinity.model_copy(update={"rows": rows, "corrected": corrected})
    return condition.model_copy(update={"affinity": changed if rows else None})
