"""The differences between two banks by condition, label, dependency, caption and setting.

Revision number and history are not compared.
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
        part: the part of the bank.
        key: the item: the id of a condition or caption, the name of a label, the labels of a dependency
            ("cat + sofa"); for parts that are not lists, the name of the part.
        kind: "changed" refers to one field, "moved" to the item's position in its list.
        field: the changed field; "" if the item was added or removed, "position" if it was moved.
        before: the JSON value in the first bank; None if the item was added. For an affinity only the differing cells,
            {label: {value: number}}; its corrections and readings are compared as the fields "corrected" and "asked".
        after: the JSON value in the second bank; None if the item was removed.
        position: the item's index in the second bank; None if it was removed or is not in a list.
    """

    part: Part
    key: str
    kind: Literal["added", "removed", "changed", "moved"]
    field: str
    before: Any
    after: Any
    position: int | None = None


def diff(before: Bank, after: Bank) -> tuple[Change, ...]:
    """All differences, in the order of the file.

    Items are matched by their keys, not by their positions.
    """
    old, new = (bank.model_dump(mode="json", by_alias=True) for bank in (before, after))
    return (
        *_fields("bank", "bank", _bank_fields(old), _bank_fields(new)),
        *_rows("label", _keyed(old["labels"], "name"), _keyed(new["labels"], "name")),
        *_rows("condition", *(_keyed([*map(_with_named_cells, b["conditions"])], "id") for b in (old, new))),
        *_rows("dependency", _by_labels(old["dependencies"]), _by_labels(new["dependencies"])),
        *_rows("caption", _keyed(old["captions"], "id"), _keyed(new["captions"], "id")),
        *_fields("prompt", "prompt", old["prompt"], new["prompt"]),
        *_fields("provenance", "provenance", old["provenance"], new["provenance"]),
    )


def _bank_fields(bank: Row) -> Row:
    return {name: bank.get(name, "") for name in ("$schema", "format", "name", "about")}


def _keyed(rows: Sequence[Row], name: str) -> dict[Key, Row]:
    return {(row[name],): row for row in rows}


def _with_named_cells(condition: Row) -> Row:
    """The condition with cells by label and value, so that moving a column is not a difference."""
    if "affinity" not in condition:
        return condition
    affinity = condition["affinity"]
    cells = {label: dict(zip(condition["values"], numbers, strict=True)) for label, numbers in affinity["rows"].items()}
    return {**condition, "affinity": cells, "corrected": affinity["corrected"], "asked": affinity["asked"]}


def _by_labels(rows: Sequence[Row]) -> dict[Key, Row]:
    """Dependencies by their sorted labels; further ones of the same labels get a number."""
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
    found = [Change(part, _key_text(key), "removed", "", row, None) for key, row in old.items() if key not in new]
    origin = {key: place for place, key in enumerate(old)}
    for key, row in new.items():
        name = _key_text(key)
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
        sides["affinity"] = (_differing_cells(before, after), _differing_cells(after, before))
    return [Change(part, key, "changed", name, *both, position) for name, both in sides.items()]


def _differing_cells(mine: Row, other: Row) -> Row:
    """The cells that the other side lacks or has with another number."""
    cells = {
        label: {value: x for value, x in row.items() if value not in other.get(label, {}) or other[label][value] != x}
        for label, row in mine.items()
    }
    return {label: row for label, row in cells.items() if row}


def _moved(order: Sequence[Key], places: Mapping[Key, int]) -> set[Key]:
    """The smallest set of items whose moves turn the old order into the new one.

    All other items form a longest increasing subsequence of the new positions, found by patience sorting.
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


def _key_text(key: Key) -> str:
    return " + ".join(key)
