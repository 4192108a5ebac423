"""The matrix of labels × values: whatever people do to labels, values and conditions, a number stays with its cell."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from prompt_bank.recording.store import content_hash, dumps, load, loads, record
from prompt_bank.schema import Affinity, Bank, Condition, Control, Correction, Label, Provenance, Reading
from tests.prompt_bank.strategies import banks

ASKED = (Reading(kind="yes-no", wordings=("Is {label} usual in {value}?",), model="m"),)


def world() -> Bank:
    """Three labels; "place" has three values and numbers for two labels, "scene" shares one value with it."""
    place = Affinity(rows={"fork": (2.5, -1.0, None), "car": (-2.0, 1.5, 0.25)}, asked=ASKED)
    scene = Affinity(
        rows={"fork": (9.0, 1.0), "tree": (None, 3.0)},
        corrected=(Correction(label="fork", value="Kitchen", mined=0.5, by="bo"),),
    )
    return Bank(
        name="world",
        about="everyday photos",
        labels=(Label(name="fork"), Label(name="car"), Label(name="tree")),
        conditions=(
            Condition(id="place", text="place", values=("kitchen", "street", "ski slope"), affinity=place),
            Condition(id="scene", text="scene", values=("Kitchen", "forest"), affinity=scene),
        ),
        provenance=Provenance(control=Control(how="words", rows={"fork": (1.0, 0.25), "car": (0.25, 1.0)})),
    )


def of(bank: Bank, condition_id: str) -> Condition:
    return next(c for c in bank.conditions if c.id == condition_id)


def numbers(condition: Condition) -> dict[tuple[str, str], float | None]:
    rows = condition.affinity.rows if condition.affinity else {}
    return {(label, value): x for label, row in rows.items() for value, x in zip(condition.values, row, strict=True)}


@settings(max_examples=100, deadline=None)
@given(banks(), st.data())
def test_numbers_stay_with_their_values(bank: Bank, data: st.DataObject) -> None:
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


def test_a_value_in_the_place_of_another_is_that_one_renamed() -> None:
    bank = editing.edit(world(), "scene", values=["cookhouse", "forest"])
    assert of(bank, "scene").affinity == Affinity(
        rows={"fork": (9.0, 1.0), "tree": (None, 3.0)},
        corrected=(Correction(label="fork", value="cookhouse", mined=0.5, by="bo"),),
    )
    assert of(editing.edit(world(), "scene", values=["FOREST"]), "scene").affinity == Affinity(
        rows={"fork": (1.0,), "tree": (3.0,)}
    )
    assert of(editing.edit(world(), "scene", values=[]), "scene").affinity is None


def test_a_merge_unites_matrices_and_a_persons_cell_comes_first() -> None:
    merged = of(editing.merge(world(), ["place", "scene"], text="place"), "place")
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
    bank = editing.split(world(), "place", [("indoors", "", ["kitchen", "hall", "cellar"]), ("outdoors", "", ["moon"])])
    indoors, outdoors = bank.conditions[:2]
    assert indoors.affinity and indoors.affinity.rows == {"fork": (2.5, None, None), "car": (-2.0, None, None)}
    assert outdoors.affinity is None, "none of its values was one before"


def test_a_cell_goes_from_usual_over_never_back_to_what_was_mined() -> None:
    for condition, label, value in (
        ("place", "fork", "street"),
        ("place", "tree", "kitchen"),
        ("place", "fork", "ski slope"),
    ):
        before = cell_lift(of(world(), condition), label, value)
        bank = correct(world(), condition, label, value, USUAL)
        bank = correct(bank, condition, label, value, NEVER)
        assert cell_lift(of(bank, condition), label, value) == NEVER
        affinity = of(bank, condition).affinity
        assert affinity and affinity.corrected == (Correction(label=label, value=value, mined=before),)
        assert correct(bank, condition, label, value, None) == world()
    bank = editing.add(world(), "light", values=["night"])
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
def test_a_cell_that_is_not_there(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BankError, match=message):
        correct(world(), *arguments)


def test_who_set_a_cell_is_said_when_it_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(world(), path, by="miner", did="mined")
    apply_change(path, lambda b: correct(b, "place", "fork", "street", NEVER), by="ada", did="set")
    cells = of(load(path).bank, "place").affinity
    assert cells and cells.corrected == (Correction(label="fork", value="street", mined=-1.0, by="ada"),)
    assert not load(path).edited


def test_a_number_that_is_written_into_the_file_is_a_correction(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(world(), path, by="miner", did="mined")
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


def test_a_label_that_is_renamed_by_hand_has_not_been_corrected(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(world(), path, by="miner", did="mined")
    path.write_text(path.read_text(encoding="utf-8").replace('"car"', '"auto"'), encoding="utf-8")
    affinity = of(record_hand_edit(load(path), "ada").bank, "place").affinity
    assert affinity and affinity.rows["auto"] == (-2.0, 1.5, 0.25) and affinity.corrected == ()


def rewritten(*replaced: tuple[str, str]) -> Bank:
    text = dump(world())
    for old, new in replaced:
        assert old in text, text
        text = text.replace(old, new, 1)
    return read(text, world(), "view.yaml")


def test_the_view_shows_the_cells_that_people_set() -> None:
    assert "  corrected:\n    fork: {Kitchen: 9.0}\n" in dump(world()) and "  corrected: {}\n" in dump(world())
    assert dump(world()).endswith("\nabout: everyday photos\n")
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


def test_labels_that_are_renamed_or_removed_take_their_rows_along() -> None:
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
def test_what_is_wrong_with_a_cell_is_said_with_its_line(cells: str, message: str) -> None:
    with pytest.raises(BankError, match=message):
        rewritten(("corrected: {}", f"corrected: {cells}"))


def test_rows_and_corrected_cells_are_lines_of_the_file() -> None:
    written = dumps(world())
    for line in (
        '"fork": [2.5, -1.0, null],',
        '"car": [-2.0, 1.5, 0.25]',
        '{"label": "fork", "value": "Kitchen", "mined": 0.5, "by": "bo"}',
        '"car": [0.25, 1.0]',
    ):
        assert line in [text.strip() for text in written.splitlines()]
    assert loads(written)[0] == world()


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "a short row": (
        lambda c: c["affinity"]["rows"].update(car=[1]),
        "affinity.rows.car",
        "has 1 numbers, but the condition has 3 values",
    ),
    "no label": (lambda c: c["affinity"]["rows"].update(dog=[1, 2, 3]), "affinity.rows.dog", "no label 'dog'"),
    "no number": (lambda c: c["affinity"]["rows"].update(car=[1, 2, "x"]), "affinity.rows.car[2]", "number"),
    "no rows": (lambda c: c["affinity"].update(rows={}), "affinity.rows", "at least 1"),
    "a value twice": (lambda c: c["values"].append("KITCHEN"), "values[3]", "already used at conditions[0].values[0]"),
    "a cell of no value": (
        lambda c: c["affinity"]["corrected"].append({"label": "car", "value": "moon"}),
        "affinity.corrected[0].value",
        "no value 'moon'",
    ),
    "a cell of no row": (
        lambda c: c["affinity"]["corrected"].append({"label": "tree", "value": "street"}),
        "affinity.corrected[0].label",
        "'tree' has no row",
    ),
    "a cell twice": (
        lambda c: c["affinity"]["corrected"].extend([{"label": "car", "value": "street"}] * 2),
        "affinity.corrected[1]",
        "already corrected",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_place(name: str) -> None:
    spoil, place, message = FAULTS[name]
    content = json.loads(dumps(world()))
    spoil(content["conditions"][0])
    with pytest.raises(BankError) as caught:
        loads(json.dumps(content))
    found = {problem.place: problem.message for problem in caught.value.problems}
    assert message in found[f"conditions[0].{place}"], found


def test_a_control_is_square() -> None:
    content = json.loads(dumps(world()))
    content["provenance"]["control"]["rows"]["car"] = [1.0]
    with pytest.raises(BankError, match=r"provenance.control.rows.car, line \d+: has 1 numbers, but there are 2 rows"):
        loads(json.dumps(content, indent=2))


def test_format_1_is_read_and_known_again(tmp_path: Path) -> None:
    """Its values may stand twice, and its revision's hash is still that of the content."""
    plain = Bank(name="old", labels=(Label(name="a"),), conditions=(Condition(id="c", text="c", values=("x", "y")),))
    content = json.loads(dumps(plain)) | {"format": 1}
    assert loads(json.dumps(content))[0] == plain
    content["conditions"][0]["values"] = ["x", "X ", "y", "x"]
    assert loads(json.dumps(content))[0] == plain
    for shipped in ("voc20", "coco80", "scenes24"):
        loaded = load(Path(editing.__file__).parents[1] / "banks" / f"{shipped}.json")
        if loaded.bank.history and not any(c.affinity for c in loaded.bank.conditions):
            assert content_hash(loaded.bank) == loaded.bank.history[-1].hash and not loaded.edited
