"""Affinities as spreadsheets: export, and import of corrections."""

from __future__ import annotations

from pathlib import Path

import pytest

from prompt_bank.editing.cells import correct
from prompt_bank.errors import BankError
from prompt_bank.exchange.files import export, import_changes
from prompt_bank.exchange.formats import Format
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.store import load, record
from prompt_bank.schema import Affinity, Condition
from tests.prompt_bank.banks import good


def matrix_bank(folder: Path) -> Path:
    path = folder / "bank.json"
    affinity = Affinity(rows={"cat": (1.5, -2.0, None)})
    place = Condition(id="place", text="place", values=("room", "=1+1", "a;b"), affinity=affinity)
    record(good().model_copy(update={"conditions": (place,), "dependencies": ()}), path, by="miner", did="mined")
    return path


def test_changed_cells_of_an_exported_matrix_are_imported_as_corrections(tmp_path: Path) -> None:
    path, sheet = matrix_bank(tmp_path), tmp_path / "place.csv"
    export(load(path).bank, sheet, Format.CSV, False, "place")
    text = sheet.read_text(encoding="utf-8-sig")
    assert text.splitlines() == [
        "condition,revision,label,room,'=1+1,a;b", "place,1,cat,1.5,-2,", "place,1,potted plant,,,",
    ]  # fmt: skip
    recorded, _ = import_changes(path, sheet, Format.CSV, by="ada", did="nothing", remove_missing=False)
    assert not recorded.written
    # As a spreadsheet of a country with decimal commas writes it; another person has set a cell meanwhile.
    apply_change(path, lambda b: correct(b, "place", "cat", "a;b", 2.0), by="bo", did="set")
    sheet.write_text('condition;revision;label;\'=1+1;room;"a;b"\nplace;1;potted plant;0,75;;\nplace;1;cat;-2;-1,5;\n')
    bank = import_changes(path, sheet, Format.CSV, by="ada", did="taken", remove_missing=False)[0].bank
    affinity = bank.conditions[0].affinity
    assert affinity and affinity.rows == {"cat": (-1.5, -2.0, 2.0), "potted plant": (None, 0.75, None)}
    assert {(c.label, c.value, c.mined, c.by) for c in affinity.corrected} == {
        ("cat", "a;b", None, "bo"), ("cat", "room", 1.5, "ada"), ("potted plant", "=1+1", None, "ada"),
    }  # fmt: skip
    export(bank, sheet, Format.CSV, True, "place")
    sheet.write_text(sheet.read_text(encoding="utf-8-sig").replace("-1.5", ""))
    bank = import_changes(path, sheet, Format.CSV, by="ada", did="back", remove_missing=False)[0].bank
    assert bank.conditions[0].affinity and bank.conditions[0].affinity.rows["cat"] == (1.5, -2.0, 2.0)


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("condition,revision,label,room\nplace,1,cat,x\n", r"cat under room, line 2: 'x' is not a number"),
        ("condition,revision,label,a;b\nplace,1,cat,999\n", r"cat under a;b, line 2: must be at most 100"),
        ("condition,revision,label,room\nplace,1,cot,1\n", r"line 2: there is no label 'cot'; there are cat"),
        ("condition,revision,label,roam\nplace,1,cat,1\n", r"line 1: there is no value 'roam'; there are room"),
        ("condition,revision,label,room\nplaec,1,cat,1\n", r"there is no condition 'plaec'; there are place"),
        ("condition,revision,label,room\nplace,1,cat,1\nlight,1,cat,1\n", r"several conditions or revisions"),
        ("condition,revision,label,room\n", r"has no rows"),
        ("condition,revision,label,room,room\nplace,1,cat,1,2\n", r"two columns are called 'room'"),
        ("condition,revision,label,room\nplace,1,cat,1\nplace,1,cat,2\n", r"line 3: 'cat' has a row at line 2 already"),
        ("condition,revision,label,room\nplace,1,cat,3\n", r"was 1.5; it is 3 here and 2 in the bank"),
    ],
)
def test_a_matrix_that_cannot_be_imported(tmp_path: Path, sheet: str, message: str) -> None:
    path, file = matrix_bank(tmp_path), tmp_path / "place.csv"
    apply_change(path, lambda b: correct(b, "place", "cat", "room", 2.0), by="bo", did="set")
    file.write_text(sheet)
    before = path.read_bytes()
    with pytest.raises(BankError, match=message):
        import_changes(path, file, Format.CSV, by="ada", did="taken", remove_missing=False)
    assert path.read_bytes() == before
