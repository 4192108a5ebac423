"""A diff says everything that differs, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.commands.tables import change_lines
from prompt_bank.editing import edits as editing
from prompt_bank.editing.cells import correct
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.editing.diff import Change, diff
from prompt_bank.recording.store import content_hash
from prompt_bank.review.differences import differences
from prompt_bank.schema import Affinity, Bank, Condition, Label
from tests.prompt_bank.banks import good
from tests.prompt_bank.strategies import banks

LISTS = {"label": "labels", "condition": "conditions", "dependency": "dependencies", "caption": "captions"}


def key(part: str, row: dict[str, Any]) -> str:
    if part == "dependency":
        return " + ".join(sorted(row["labels"]))
    return str(row["name" if part == "label" else "id"])


def names(part: str, rows: list[dict[str, Any]]) -> list[str]:
    """The keys of rows, the second of the same name with a number, as a diff calls them."""
    found: list[str] = []
    for row in rows:
        name, number = key(part, row), 2
        while name in found:
            name, number = f"{key(part, row)} + #{number}", number + 1
        found.append(name)
    return found


def named(row: dict[str, Any]) -> dict[str, Any]:
    """A condition with its cells by label and value, as a diff speaks of them."""
    affinity = row.get("affinity")
    if affinity is None:
        return row
    cells = {label: dict(zip(row["values"], numbers, strict=True)) for label, numbers in affinity["rows"].items()}
    return {**row, "affinity": cells, "corrected": affinity["corrected"], "asked": affinity["asked"]}


def unnamed(row: dict[str, Any]) -> dict[str, Any]:
    cells = row.pop("affinity", None)
    corrected, asked = row.pop("corrected", None), row.pop("asked", None)
    if not cells:
        return row
    rows = {label: [numbers[value] for value in row["values"]] for label, numbers in cells.items()}
    return {**row, "affinity": {"rows": rows, "corrected": corrected, "asked": asked}}


def recelled(cells: dict[str, Any] | None, change: Change) -> dict[str, Any]:
    """Cells after a change of some of them."""
    found = {(label, value): x for label, row in (cells or {}).items() for value, x in row.items()}
    for label, row in change.before.items():
        for value, number in row.items():
            assert found.pop((label, value)) == number
    found |= {(label, value): x for label, row in change.after.items() for value, x in row.items()}
    return {label: {v: x for (a, v), x in found.items() if a == label} for label, _ in found}


def applied(bank: Bank, changes: tuple[Change, ...]) -> Bank:
    """The bank after the changes: a diff that leaves something out does not lead to the other bank."""
    content = bank.model_dump(mode="json", by_alias=True)
    for part in ("prompt", "provenance"):
        content[part] |= {c.field: c.after for c in changes if c.part == part}
    content |= {c.field: c.after for c in changes if c.part == "bank"}
    content["conditions"] = [named(row) for row in content["conditions"]]
    for part, name in LISTS.items():
        mine = [c for c in changes if c.part == part]
        rows = dict(zip(names(part, content[name]), content[name], strict=True))
        for change in mine:
            if change.kind == "removed":
                assert rows.pop(change.key) == change.before
            elif change.kind == "changed" and change.field == "affinity":
                cells = recelled(rows[change.key].get("affinity"), change)
                rows[change.key] = {**rows[change.key], "affinity": cells}
            elif change.kind == "changed":
                assert rows[change.key].get(change.field) == change.before
                rows[change.key] = {**rows[change.key], change.field: change.after}
                if change.after is None and change.field in Label.WITHOUT_IF_EMPTY:
                    del rows[change.key][change.field]
        placed = {c.position: rows.pop(c.key) for c in mine if c.kind == "moved"}
        placed |= {c.position: c.after for c in mine if c.kind == "added"}
        stayed = iter(rows.values())
        content[name] = [placed[i] if i in placed else next(stayed) for i in range(len(rows) + len(placed))]
    content["conditions"] = [unnamed(dict(row)) for row in content["conditions"]]
    return Bank.model_validate(content)


@settings(max_examples=150, deadline=None)
@given(banks(), banks(), st.randoms(use_true_random=False))
def test_a_diff_describes_all_changes(before: Bank, other: Bank, rng: Any) -> None:
    shuffled = list(before.conditions)
    rng.shuffle(shuffled)
    for after in (other, before.model_copy(update={"conditions": tuple(shuffled)})):
        changes = diff(before, after)
        assert content_hash(applied(before, changes)) == content_hash(after)
        assert (changes == ()) == (content_hash(before) == content_hash(after))
        assert change_lines(changes) or not changes
    assert diff(before, before) == ()


def test_revision_and_history_are_not_compared() -> None:
    assert diff(good(), good().model_copy(update={"revision": 7})) == ()


def test_a_rename_is_one_change_of_the_text() -> None:
    changes = diff(good(), editing.rename(good(), "pose", "body pose"))
    assert changes == (
        Change("condition", "pose", "changed", "text", "object pose", "body pose", 1),
        Change("condition", "pose", "changed", "origin", "mined", "edited", 1),
    )


def test_a_cell_is_one_change_named_by_label_and_value() -> None:
    rows = {"cat": (1.0, -1.0), "potted plant": (0.5, None)}
    place = Condition(id="place", text="place", values=("room", "roof"), affinity=Affinity(rows=rows))
    bank = good().model_copy(update={"conditions": (*good().conditions, place)})
    changed = correct(editing.edit(bank, "place", values=["roof", "room", "sea"]), "place", "cat", "roof", 2.0)
    by_field = {change.field: change for change in diff(bank, changed)}
    assert list(by_field) == ["origin", "values", "affinity", "corrected"]
    cells = by_field["affinity"]
    assert cells.before == {"cat": {"roof": -1.0}}, "a column that moved has not changed"
    assert cells.after == {"cat": {"roof": 2.0, "sea": None}, "potted plant": {"sea": None}}
    lines = [" ".join(line.plain.split()) for line in change_lines(diff(bank, changed))]
    assert "affinity cat × roof: -1.00 → +2.00" in lines and "affinity cells: 2 new" in lines
    (entry,) = differences(bank, changed)
    told = {field["field"]: (field["before"], field["after"]) for field in entry["fields"]}
    assert told["how usual"] == ("cat × roof: -1.00", "cat × roof: +2.00\n2 new cells")
    assert told["set by hand"] == ("", "cat × roof")


def test_many_cells_are_counted() -> None:
    values = tuple(f"v{i}" for i in range(30))
    place = Condition(id="place", text="place", values=values, affinity=Affinity(rows={"cat": (1.0,) * 30}))
    bank = good().model_copy(update={"conditions": (place,), "dependencies": ()})
    other = place.model_copy(update={"affinity": Affinity(rows={"cat": (2.0,) * 30})})
    lines = change_lines(diff(bank, bank.model_copy(update={"conditions": (other,)})))
    assert len(lines) == 12 and lines[-1].plain.split() == ["affinity", "cells:", "20", "more"]
    added = [line.plain for line in change_lines(diff(bank.model_copy(update={"conditions": ()}), bank))]
    assert any("1 labels × 30 values" in line for line in added) and len("".join(added)) < 500


def test_moving_one_condition_moves_one() -> None:
    bank = good()
    for text in ("a", "b", "c", "d"):
        bank = editing.add(bank, text)
    changes = diff(bank, editing.move(bank, "d", 1))
    assert changes == (Change("condition", "d", "moved", "position", 5, 1, 1),)


def test_the_order_of_a_dependencys_labels_does_not_make_it_another_one() -> None:
    bank = good()
    turned = bank.dependencies[0].model_copy(update={"labels": ("potted plant", "cat")})
    (change,) = diff(bank, bank.model_copy(update={"dependencies": (turned,)}))
    assert (change.kind, change.field, change.key) == ("changed", "labels", "cat + potted plant")


def test_equal_changes_of_dependencies_are_shown_once() -> None:
    bank = good().model_copy(update={"labels": tuple(Label(name=f"l{i}") for i in range(15)), "captions": ()})
    bank = bank.model_copy(update={"dependencies": (), "conditions": good().conditions[1:]})
    bank = editing.add(bank, "place")
    for i in range(1, 15):
        bank = set_dependency(bank, ["l0", f"l{i}"], ["pose", "place"])
    lines = [line.plain for line in change_lines(diff(bank, editing.remove(bank, "place")))]
    assert lines[0] == "- condition place"
    assert lines[1].startswith("~ 14 dependencies: l0 + l1, ") and lines[1].endswith(" and 4 more")
    assert lines[2].split() == ["conditions", "-place"] and len(lines) == 3


def test_terminal_control_characters_are_not_printed() -> None:
    bank = editing.edit(good(), "pose", definition="a\x1b]0;owned\x07", values=["\x1b[2J"])
    assert "\x1b" not in "".join(line.plain for line in change_lines(diff(good(), bank)))
