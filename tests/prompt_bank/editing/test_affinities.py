"""The matrix of labels × values: whatever people do to labels, values and conditions, a number stays with its cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmpt.common.words import fold
from prompt_bank.editing import edits as editing
from prompt_bank.editing.affinities import cell_lift
from prompt_bank.editing.cells import NEVER, USUAL, correct
from prompt_bank.errors import BankError
from prompt_bank.exchange.yaml_view import dump, read
from prompt_bank.recording.changes import apply_change, record_hand_edit
from prompt_bank.recording.store import load, record
from prompt_bank.schema import Affinity, Bank, Condition, Correction
from tests.prompt_bank.banks import ASKED, with_affinities
from tests.prompt_bank.strategies import banks


def of(bank: Bank, condition_id: str) -> Condition:
    return next(c for c in bank.conditions if c.id == condition_id)


def numbers(condition: Condition) -> dict[tuple[str, str], float | None]:
    rows = condition.affinity.rows if condition.affinity else {}
    return {(label, value): x for label, row in rows.items() for value, x in zip(condition.values, row, strict=True)}


@settings(max_examples=100, deadline=None)
@given(banks(), st.data())
def test_numbers_follow_their_values(bank: Bank, data: st.DataObject) -> None:
    """Values in another order, fewer or more of them: each that is still there has the numbers and marks it had."""
    before = data.draw(st.sampled_from(bank.conditions))
    kept = data.draw(st.permutations(before.values))
    kept = kept[data.draw(st.integers(0, len(kept))) :]
    new = data.draw(st.lists(st.sampled_from(["n1", "n2", "n3", "n4"]), unique=True, min_size=len(before.values) + 1))
    values = data.draw(st.permutations([*kept, *(v for v in new if fold(v) not in map(fold, before.values))]))
    after = of(editing.edit(bank, before.id, values=values), before.id)
    old, now = numbers(before), numbers(after)
    for (label, value), x in now.items():
        assert x == old.get((label, value))
    if before.affinity and kept:
        assert after.affinity and after.affinity.asked == before.affinity.asked
        assert [c for c in before.affinity.corrected if c.value in kept] == list(after.affinity.corrected)
        assert set(old) - set(now) == {(label, value) for label, value in old if value not in kept}


def test_a_value_that_replaces_another_counts_as_renamed() -> None:
    bank = editing.edit(with_affinities(), "scene", values=["cookhouse", "forest"])
    assert of(bank, "scene").affinity == Affinity(
        rows={"fork": (9.0, 1.0), "tree": (None, 3.0)},
        corrected=(Correction(label="fork", value="cookhouse", mined=0.5, by="bo"),),
    )
    assert of(editing.edit(with_affinities(), "scene", values=["FOREST"]), "scene").affinity == Affinity(
        rows={"fork": (1.0,), "tree": (3.0,)}
    )
    assert of(editing.edit(with_affinities(), "scene", values=[]), "scene").affinity is None


def test_a_merge_unites_affinities_and_corrections_take_precedence() -> None:
    merged = of(editing.merge(with_affinities(), ["place", "scene"], text="place"), "place")
    assert merged.values == ("kitchen", "street", "ski slope", "forest")
    assert merged.affinity == Affinity(
        rows={
            "fork": (9.0, -1.0, None, 1.0),
            "car": (-2.0, 1.5, 0.25, None),
            "tree": (None, None, None, 3.0),
        },
        corrected=(Correction(label="fork", value="kitchen", mined=0.5, by="bo"),),
        asked=ASKED,
    )


def test_a_split_gives_each_part_the_columns_of_its_values() -> None:
    bank = editing.split(
        with_affinities(), "place", [("indoors", "", ["kitchen", "hall", "cellar"]), ("outdoors", "", ["moon"])]
    )
    indoors, outdoors = bank.conditions[:2]
    assert indoors.affinity and indoors.affinity.rows == {"fork": (2.5, None, None), "car": (-2.0, None, None)}
    assert outdoors.affinity is None, "none of its values was one before"


def test_a_cell_is_corrected_twice_and_then_reverted() -> None:
    for condition, label, value in (
        ("place", "fork", "street"),
        ("place", "tree", "kitchen"),
        ("place", "fork", "ski slope"),
    ):
        before = cell_lift(of(with_affinities(), condition), label, value)
        bank = correct(with_affinities(), condition, label, value, USUAL)
        bank = correct(bank, condition, label, value, NEVER)
        assert cell_lift(of(bank, condition), label, value) == NEVER
        affinity = of(bank, condition).affinity
        assert affinity and affinity.corrected == (Correction(label=label, value=value, mined=before),)
        assert correct(bank, condition, label, value, None) == with_affinities()
    bank = editing.add(with_affinities(), "light", values=["night"])
    lit = correct(bank, "light", "car", "night", 1.234)
    assert of(lit, "light").affinity == Affinity(
        rows={"car": (1.23,)}, corrected=(Correction(label="car", value="night"),)
    )
    assert correct(lit, "light", "car", "night", None) == bank


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plaec", "fork", "street", 2.0), r"conditions: there is no condition 'plaec'; there are place"),
        (("place", "frok", "street", 2.0), r"conditions\[0\].affinity: there is no label 'frok'; there are fork"),
        (("place", "fork", "Street", 2.0), r"conditions\[0\].affinity: there is no value 'Street'; there are street"),
        (("place", "fork", "street", 1e9), r"conditions\[0\].affinity.rows.fork: must be at most 100"),
        (("place", "fork", "street", float("nan")), "must be"),
    ],
)
def test_an_unknown_cell_is_an_error(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BankError, match=message):
        correct(with_affinities(), *arguments)


def test_who_set_a_cell_is_said_when_it_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(with_affinities(), path, by="miner", did="mined")
    apply_change(path, lambda b: correct(b, "place", "fork", "street", NEVER), by="ada", did="set")
    cells = of(load(path).bank, "place").affinity
    assert cells and cells.corrected == (Correction(label="fork", value="street", mined=-1.0, by="ada"),)
    assert not load(path).edited


def test_a_number_changed_in_the_file_becomes_a_correction(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(with_affinities(), path, by="miner", did="mined")
    text = (
        path.read_text(encoding="utf-8")
        .replace("[-2.0, 1.5, 0.25]", "[-2.0, 3, 0.25]")
        .replace("[9.0, 1.0]", "[4.0, 1]")
    )
    path.write_text(text, encoding="utf-8")
    bank = record_hand_edit(load(path), "ada").bank
    place, scene = of(bank, "place").affinity, of(bank, "scene").affinity
    assert place and place.corrected == (Correction(label="car", value="street", mined=1.5, by="ada"),)
    assert scene and scene.corrected == (Correction(label="fork", value="Kitchen", mined=0.5, by="ada"),)
    assert [c.origin for c in bank.conditions] == ["mined", "mined"], "the words are the miner's"


def test_renaming_a_label_by_hand_makes_no_corrections(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(with_affinities(), path, by="miner", did="mined")
    path.write_text(path.read_text(encoding="utf-8").replace('"car"', '"auto"'), encoding="utf-8")
    affinity = of(record_hand_edit(load(path), "ada").bank, "place").affinity
    assert affinity and affinity.rows["auto"] == (-2.0, 1.5, 0.25) and affinity.corrected == ()


def rewritten(*replaced: tuple[str, str]) -> Bank:
    text = dump(with_affinities())
    for old, new in replaced:
        assert old in text, text
        text = text.replace(old, new, 1)
    return read(text, with_affinities(), "view.yaml")


def test_the_view_shows_corrections() -> None:
    assert "  corrected:\n    fork: {Kitchen: 9.0}\n" in dump(with_affinities()) and "  corrected: {}\n" in dump(
        with_affinities()
    )
    assert dump(with_affinities()).endswith("\nabout: everyday photos\n")
    bank = rewritten(("corrected: {}", "corrected: {tree: {street: 2}, fork: {kitchen: -2.0}}"))
    affinity = of(bank, "place").affinity
    assert affinity and affinity.rows == {
        "fork": (-2.0, -1.0, None), "car": (-2.0, 1.5, 0.25), "tree": (None, 2.0, None),
    }  # fmt: skip
    assert {(c.label, c.value, c.mined) for c in affinity.corrected} == {
        ("fork", "kitchen", 2.5), ("tree", "street", None),
    }  # fmt: skip
    back = of(rewritten(("    fork: {Kitchen: 9.0}\n", "")), "scene").affinity
    assert back and back.rows["fork"] == (0.5, 1.0) and back.corrected == ()
    moved = rewritten(
        ("values: [Kitchen, forest]", "values: [forest, Kitchen, sea]"), ("{Kitchen: 9.0}", "{Kitchen: 1}")
    )
    assert of(moved, "scene").affinity == Affinity(
        rows={"fork": (1.0, 1.0, None), "tree": (3.0, None, None)},
        corrected=(Correction(label="fork", value="Kitchen", mined=0.5),),
    )
    assert rewritten(("about: everyday photos", "about: aerial images")).about == "aerial images"


def test_rows_follow_renamed_and_removed_labels() -> None:
    bank = rewritten(("\n- fork\n", "\n- pitchfork\n"), ("    fork: {Kitchen", "    pitchfork: {Kitchen"))
    affinity = of(bank, "scene").affinity
    assert affinity and affinity.rows["pitchfork"] == (9.0, 1.0) and affinity.corrected[0].label == "pitchfork"
    assert bank.provenance.control and set(bank.provenance.control.rows) == {"pitchfork", "car"}
    bank = rewritten(("\n- fork\n", "\n"), ("    fork: {Kitchen: 9.0}\n", ""))
    assert of(bank, "scene").affinity == Affinity(rows={"tree": (None, 3.0)})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("{frok: {street: 2}}", r"corrected.frok, line 9: there is no label 'frok'; there are fork"),
        ("{fork: {steet: 2}}", r"corrected.fork.steet, line 9: there is no value 'steet'; there are street"),
        ("{fork: {street: much}}", r"corrected.fork.street, line 9: must be a valid number"),
        ("{fork: {street: 1000}}", r"corrected.fork.street, line 9: must be at most 100"),
        ("{fork: street}", r"corrected.fork, line 9: must be a map of values"),
        ("fork", r"corrected, line 9: must be a map of labels"),
    ],
)
def test_errors_in_corrected_cells_have_their_line(cells: str, message: str) -> None:
    with pytest.raises(BankError, match=message):
        rewritten(("corrected: {}", f"corrected: {cells}"))
