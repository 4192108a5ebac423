"""The matrix of labels × values of a condition, kept right while labels, values and conditions change.

A cell is named by its label and its value, never by its place: columns follow their values, rows their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fedmpt.common.words import fold
from prompt_bank.schema import Affinity, Bank, Condition, Correction, Reading

Cells = tuple[float | None, ...]


def columns_of(before: Sequence[str], after: Sequence[str], renamed: bool = True) -> list[int | None]:
    """For each value after an edit the column that it had before; None where it is new.

    Values are the same that differ in case or form alone. Where as many stand there as before, one in the place of one
    that is gone is that one with another name, as it is with labels, unless `renamed` is false.
    """
    old, new = [fold(value) for value in before], [fold(value) for value in after]
    places = {value: at for at, value in enumerate(old)}
    in_place = renamed and len(old) == len(new)
    return [places.get(value, at if in_place and old[at] not in new else None) for at, value in enumerate(new)]


def aligned(before: Condition, after: Condition, renamed: bool = True) -> Condition:
    """The condition with the affinity that it had before an edit, in the order of the values that it has now."""
    affinity = before.affinity
    if affinity is None or before.values == after.values:
        return after.model_copy(update={"affinity": affinity})
    columns = columns_of(before.values, after.values, renamed)
    if all(column is None for column in columns):
        return after.model_copy(update={"affinity": None})
    names = {before.values[c]: value for c, value in zip(columns, after.values, strict=True) if c is not None}
    rows = {label: tuple(None if c is None else cells[c] for c in columns) for label, cells in affinity.rows.items()}
    corrected = [c.model_copy(update={"value": names[c.value]}) for c in affinity.corrected if c.value in names]
    return after.model_copy(
        update={"affinity": affinity.model_copy(update={"rows": rows, "corrected": tuple(corrected)})}
    )


def relabelled(affinity: Affinity | None, name: Callable[[str], str | None]) -> Affinity | None:
    """The affinity under the labels' new names; the row of a label that has none is gone.

    Args:
        affinity: of a condition.
        name: from a label's name to the one that it has now, None where it is gone.
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


def united(conditions: Sequence[Condition], values: Sequence[str]) -> Affinity | None:
    """The affinity of what several conditions become: of each cell the first number that one of them has.

    Args:
        conditions: in their order of precedence.
        values: of the one that they become.
    """
    columns = [c.model_copy(update={"values": tuple(values)}) for c in conditions]
    moved = (aligned(c, to, renamed=False).affinity for c, to in zip(conditions, columns, strict=True))
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
            if (c.label, c.value) not in corrected:  # what a person said comes before what any part was mined with
                corrected[c.label, c.value] = c
                rows = _with_number(rows, values, c.label, c.value, _numbers(part.rows, values)[c.label, c.value])
    return Affinity(rows=rows, corrected=tuple(corrected.values()), asked=readings(p.asked for p in parts))


def readings(asked: Iterable[Sequence[Reading]]) -> tuple[Reading, ...]:
    """All ways in which numbers were obtained, each once."""
    found: list[Reading] = []
    for several in asked:
        found += [reading for reading in several if reading not in found]
    return tuple(found)


def with_cell(condition: Condition, label: str, value: str, number: float | None, labels: Sequence[str]) -> Condition:
    """The condition with a cell that a person set.

    Args:
        condition: that has the value.
        label: the cell's label.
        value: the cell's value.
        number: what stands there now.
        labels: all labels of the bank; rows stand in their order.
    """
    affinity = condition.affinity or Affinity(rows={label: (None,) * len(condition.values)})
    before = cell(condition, label, value)
    known = next((c for c in affinity.corrected if (c.label, c.value) == (label, value)), None)
    mined = known.mined if known else before
    if known and number == before:
        return condition
    others = tuple(c for c in affinity.corrected if c is not known)
    marked = (*others, Correction(label=label, value=value, mined=mined)) if number != mined else others
    rows = _with_number(affinity.rows, condition.values, label, value, number)
    return _with(condition, affinity, _in_order(rows, labels), marked)


def as_mined(condition: Condition, label: str, value: str) -> Condition:
    """The condition with a cell as mining has it; the person's correction is gone."""
    affinity = condition.affinity
    known = next((c for c in affinity.corrected if (c.label, c.value) == (label, value)), None) if affinity else None
    if affinity is None or known is None:
        return condition
    rows = _with_number(affinity.rows, condition.values, label, value, known.mined)
    if all(x is None for x in rows[label]):
        del rows[label]  # a row that this correction alone had made
    return _with(condition, affinity, rows, tuple(c for c in affinity.corrected if c is not known))


def cell(condition: Condition, label: str, value: str) -> float | None:
    """The number of a label under a value; None where it was not asked."""
    cells = condition.affinity.rows.get(label) if condition.affinity else None
    return cells[condition.values.index(value)] if cells else None


def marked(before: Condition | None, after: Condition, labels: Collection[str]) -> Condition:
    """The condition with a correction for each number that a person has written into it himself.

    Args:
        before: as it was; None where the whole is a person's.
        after: as the person wrote it.
        labels: those whose numbers may be the person's; a label that is new to the bank may be one with another name.
    """
    affinity = after.affinity
    if affinity is None or (before is not None and before.affinity == affinity):
        return after
    was = aligned(before, after).affinity if before else None
    old = _numbers(was.rows, after.values) if was else {}
    corrections = {(c.label, c.value): c for c in affinity.corrected}
    former = {(c.label, c.value): c for c in was.corrected} if was else {}
    for key, number in _numbers(affinity.rows, after.values).items():
        there = corrections.get(key)
        if key[0] not in labels or number == old.get(key):
            continue
        if there is None:
            mined = former[key].mined if key in former else old.get(key)
            if number != mined:  # else the person took a correction back
                corrections[key] = Correction(label=key[0], value=key[1], mined=mined)
        elif there == former.get(key):
            corrections[key] = there.model_copy(update={"by": ""})  # another person's now
    changed = affinity.model_copy(update={"corrected": tuple(corrections.values())})
    return after.model_copy(update={"affinity": changed})


def signed(bank: Bank, by: str) -> Bank:
    """The bank in which corrections that are nobody's yet are somebody's."""
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


def _numbers(rows: Mapping[str, Cells], values: Sequence[str]) -> dict[tuple[str, str], float | None]:
    """From label and value to the number."""
    return {(label, value): x for label, cells in rows.items() for value, x in zip(values, cells, strict=True)}


def _with_number(
    rows: Mapping[str, Cells], values: Sequence[str], label: str, value: str, number: float | None
) -> dict[str, Cells]:
    cells = list(rows.get(label, (None,) * len(values)))
    cells[values.index(value)] = number
    return {**rows, label: tuple(cells)}


def _in_order(rows: Mapping[str, Cells], labels: Sequence[str]) -> dict[str, Cells]:
    """Rows in the order of the labels: so a new one does not move others in a diff."""
    return {label: rows[label] for label in labels if label in rows}


def _with(
    condition: Condition, affinity: Affinity, rows: dict[str, Cells], corrected: tuple[Correction, ...]
) -> Condition:
    changed = affinity.model_copy(update={"rows": rows, "corrected": corrected})
    return condition.model_copy(update={"affinity": changed if rows else None})
