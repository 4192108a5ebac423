"""What differs between two banks, said in the bank's own terms: per condition, label, dependency, caption and setting.

Revision numbers and the history are no content, and are left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prompt_bank.schema import Bank

Part = Literal["bank", "prompt", "provenance", "label", "condition", "dependency", "caption"]
Key = tuple[str, ...]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        part: what kind of thing differs.
        key: which one: a condition's or caption's id, a label's name, a dependency's labels ("cat + sofa"); the part's
            name where there is only one.
        kind: "changed" is one field of it, "moved" its place in the order.
        field: what changed; "" where the whole was added or removed, "position" where it moved.
        before: as the first bank holds it, a JSON value; None where it was added. Of an affinity the cells that differ,
            {label: {value: number}}; its corrected cells and readings are the fields "corrected" and "asked".
        after: as the second bank holds it; None where it was removed.
        position: its index among its kind in the second bank; None where it is not there, or not in a list.
    """

    part: Part
    key: str
    kind: Literal["added", "removed", "changed", "moved"]
    field: str
    before: Any
    after: Any
    position: int | None = None


def diff(before: Bank, after: Bank) -> tuple[Change, ...]:
    """Every difference, in the order of the file; none between equal contents.

    Each list is compared by what its rows are called, not by their place: a condition that moved is not a new one.
    """
    old, new = (bank.model_dump(mode="json", by_alias=True) for bank in (before, after))
    return (
        *_fields("bank", "bank", _head(old), _head(new)),
        *_rows("label", _keyed(old["labels"], "name"), _keyed(new["labels"], "name")),
        *_rows("condition", *(_keyed([*map(_named, b["conditions"])], "id") for b in (old, new))),
        *_rows("dependency", _by_labels(old["dependencies"]), _by_labels(new["dependencies"])),
        *_rows("caption", _keyed(old["captions"], "id"), _keyed(new["captions"], "id")),
        *_fields("prompt", "prompt", old["prompt"], new["prompt"]),
        *_fields("provenance", "provenance", old["provenance"], new["provenance"]),
    )


def _head(bank: Row) -> Row:
    return {name: bank.get(name, "") for name in ("$schema", "format", "name", "about")}


def _keyed(rows: Sequence[Row], name: str) -> dict[Key, Row]:
    return {(row[name],): row for row in rows}


def _named(condition: Row) -> Row:
    """A condition whose cells are named by label and value: so a column that moves changes nothing."""
    if "affinity" not in condition:
        return condition
    affinity = condition["affinity"]
    cells = {label: dict(zip(condition["values"], numbers, strict=True)) for label, numbers in affinity["rows"].items()}
    return {**condition, "affinity": cells, "corrected": affinity["corrected"], "asked": affinity["asked"]}


def _by_labels(rows: Sequence[Row]) -> dict[Key, Row]:
    """Dependencies by their labels in whatever order; the second one of the same labels is another one."""
    found: dict[Key, Row] = {}
    seen: Counter[Key] = Counter()
    for row in rows:
        labels = tuple(sorted(row["labels"]))
        seen[labels] += 1
        found[(*labels, f"#{seen[labels]}") if seen[labels] > 1 else labels] = row
    return found


def _rows(part: Part, old: Mapping[Key, Row], new: Mapping[Key, Row]) -> list[Change]:
    places = {key: place for place, key in enumerate(new)}
    moved = _moved([key for key in old if key in new], places)
    found = [Change(part, _written(key), "removed", "", row, None) for key, row in old.items() if key not in new]
    origin = {key: place for place, key in enumerate(old)}
    for key, row in new.items():
        name = _written(key)
        if key not in old:
            found.append(Change(part, name, "added", "", None, row, places[key]))
            continue
        found += _fields(part, name, old[key], row, places[key])
        if key in moved:
            found.append(Change(part, name, "moved", "position", origin[key], places[key], places[key]))
    return found


def _fields(part: Part, key: str, old: Row, new: Row, position: int | None = None) -> list[Change]:
    names = [*old, *(name for name in new if name not in old)]
    changed = [name for name in names if old.get(name) != new.get(name)]
    sides = {name: (old.get(name), new.get(name)) for name in changed}
    if part == "condition" and "affinity" in sides:
        before, after = (side or {} for side in sides["affinity"])
        sides["affinity"] = (_other_cells(before, after), _other_cells(after, before))
    return [Change(part, key, "changed", name, *both, position) for name, both in sides.items()]


def _other_cells(mine: Row, other: Row) -> Row:
    """The cells that the other side does not have, or has with another number."""
    cells = {
        label: {value: x for value, x in row.items() if value not in other.get(label, {}) or other[label][value] != x}
        for label, row in mine.items()
    }
    return {label: row for label, row in cells.items() if row}


def _moved(order: Sequence[Key], places: Mapping[Key, int]) -> set[Key]:
    """The fewest rows that must move to bring those of the old order into the new one.

    The others are a longest row of increasing new places, found by patience sorting.
    """
    tops: list[int] = []
    piles: list[int] = []
    for key in order:
        pile = bisect_left(tops, places[key])
        tops[pile : pile + 1] = [places[key]]
        piles.append(pile)
    wanted, stays = len(tops) - 1, set()
    bound = len(places)
    for key, pile in zip(reversed(order), reversed(piles), strict=True):
        if pile == wanted and places[key] < bound:
            stays.add(key)
            wanted, bound = wanted - 1, places[key]
    return set(order) - stays


def _written(key: Key) -> str:
    return " + ".join(key)
