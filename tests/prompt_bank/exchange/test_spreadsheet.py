"""Conditions as spreadsheets: an unchanged sheet changes nothing, changed cells are imported."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedmpt.common.words import fold
from prompt_bank.editing import edits as editing
from prompt_bank.errors import BankError
from prompt_bank.exchange import spreadsheet
from prompt_bank.exchange.files import export, import_changes
from prompt_bank.exchange.formats import Format
from prompt_bank.exchange.three_way import merge_edits
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.store import load, versions_folder
from prompt_bank.schema import Bank
from tests.prompt_bank.banks import good
from tests.prompt_bank.strategies import ODD, PROSE, banks


def back_from_csv(text: str, bank: Bank) -> Bank:
    return merge_edits(bank, spreadsheet.edits(spreadsheet.read(text, "s.csv"), bank, "s.csv"), "s.csv")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def sheet_of(rows: list[dict[str, str]], **writing: Any) -> str:
    file = io.StringIO(newline="")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(file, columns, restval="", **writing)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@settings(max_examples=200, deadline=None)
@given(banks())
def test_an_unchanged_sheet_changes_nothing_and_holds_no_formula(bank: Bank) -> None:
    text = spreadsheet.dump(bank)
    assert back_from_csv(text, bank) == bank
    for row in rows_of(text):
        assert not any(cell.startswith(("=", "+", "-", "@", "|", "\t", "\r", "\n", "＝")) for cell in row.values())


@settings(max_examples=100, deadline=None)
@given(banks(), st.data())
def test_a_changed_cell_is_imported_as_written(bank: Bank, data: st.DataObject) -> None:
    """Definition, note and values that are written in the program's own format are read as they were."""
    words = (PROSE | ODD).map(lambda text: text.replace("\r\n", "\n").replace("\r", "\n").strip())
    values = st.lists(words.filter(bool), max_size=3, unique_by=fold)
    changes = {
        "definition": data.draw(words),
        "note": data.draw(words),
        "values": tuple(data.draw(values)),
    }
    victim = data.draw(st.sampled_from([c.id for c in bank.conditions]))
    before = next(c for c in bank.conditions if c.id == victim)
    # A spreadsheet may change line breaks by itself: so another kind of them is no change that a person made.
    assume("\r" not in before.definition + before.note)
    wanted = editing.edit(bank, victim, **changes)
    assert back_from_csv(spreadsheet.dump(wanted), bank) == wanted


@pytest.mark.parametrize(
    "writing", [{"delimiter": ";"}, {"delimiter": "\t"}, {"lineterminator": "\n"}, {"quoting": csv.QUOTE_ALL}]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_sheets_as_other_programs_save_them(writing: dict[str, Any], mark: str) -> None:
    rows = rows_of(spreadsheet.dump(good()))
    rows[1] |= {"text": " posture ", "status": "ACCEPTED", "support": "0,5", "values": "a; b ;;c\\;d"}
    bank = back_from_csv(mark + sheet_of(rows, **writing), good())
    changed = bank.conditions[1]
    assert (changed.text, changed.status, changed.origin, changed.support) == ("posture", "accepted", "edited", None)
    assert changed.values == ("a", "b", "c;d") and bank.conditions[0] == good().conditions[0]


def test_excels_separator_line_and_extra_columns_and_rows() -> None:
    rows = rows_of(spreadsheet.dump(good()))
    rows = [{"remarks": "x", **row} for row in reversed(rows)] + [{"text": ""}, {"text": "season", "values": "=1;b"}]
    text = "sep=;\r\n" + sheet_of(rows, delimiter=";")
    sheet = spreadsheet.read(text, "s.csv")
    assert sheet.warnings == ("unknown columns were ignored: remarks",)
    bank = back_from_csv(text, good())
    assert [c.id for c in bank.conditions] == ["background", "pose", "season"], "sorting a sheet is no decision"
    assert (bank.conditions[2].origin, bank.conditions[2].values, bank.conditions[2].status) == (
        "added", ("=1", "b"), "proposed",
    )  # fmt: skip


def test_missing_columns_change_nothing() -> None:
    assert back_from_csv("id,status\r\npose,rejected\r\n", good()) == editing.reject(good(), ["pose"])


@pytest.mark.parametrize(("text", "message"), [
    ("", "is empty"),
    ("a,b\n1,2\n", "line 1: has neither a column id nor a column text; the columns are id, text"),
    ("id,id\npose,pose\n", "the column 'id' occurs twice"),
    ("id,status\npose,maybe\n", r"conditions\[1\].status, line 2: must be 'proposed'"),
    ("id,text\n\npsoe,x\n", r"row 1, line 3: there is no condition 'psoe'; leave out the id of"),
    ("id,note\npose,x\npose,y\n", r"row 2, line 3: 'pose' is already at row 1"),
    ("id,text\npose,\n", r"conditions\[1\].text, line 2: is empty"),
    ("id,text\n,BACKGROUND\n", r"conditions\[2\].text, line 2: the condition 'background' is already used at"),
    ("id,text\npose,x,y\n", r"line 2: the row has 3 cells, the heading 2"),
    ('id,text\npose,"x\n', r"line 2: is not CSV"),
    ('id,note\npose,"a\nb"\nbackground,"x"y\n', r"line 4: is not CSV"),
    ("id,revision\npose,1\nbackground,2\n", "the rows are from different revisions: 1, 2"),
    ("id,text\npose," + "x" * 200_000 + "\n", r"is not CSV: field larger|has more than 100"),
])  # fmt: skip
def test_errors_in_a_sheet_have_their_line(text: str, message: str) -> None:
    with pytest.raises(BankError, match=message):
        back_from_csv(text, good())


def test_changes_that_others_made_since_the_export_are_kept(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    export(load(bank).bank, file, Format.CSV, False)
    apply_change(bank, lambda b: editing.accept(editing.add(b, "season"), ["background"]), by="bob", did="meanwhile")
    file.write_text(file.read_text(encoding="utf-8").replace("object pose", "posture"), encoding="utf-8")
    recorded, notes = import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=True)
    assert [(c.text, c.status) for c in recorded.bank.conditions] == [
        ("background", "accepted"), ("posture", "proposed"), ("season", "proposed"),
    ]  # fmt: skip
    assert notes == []


def test_a_field_that_both_changed_is_a_conflict(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    export(load(bank).bank, file, Format.CSV, False)
    apply_change(bank, lambda b: editing.rename(b, "pose", "stance"), by="bob", did="meanwhile")
    file.write_text(file.read_text(encoding="utf-8").replace("object pose", "posture"), encoding="utf-8")
    before = bank.read_bytes()
    with pytest.raises(BankError, match="was 'object pose'; it is 'posture' here and 'stance' in the bank"):
        import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)
    assert bank.read_bytes() == before
    file.write_text(file.read_text(encoding="utf-8").replace("posture", "stance"), encoding="utf-8")
    assert not import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)[0].written


def test_a_change_to_a_removed_condition_is_an_error(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    export(load(bank).bank, file, Format.CSV, False)
    apply_change(bank, lambda b: editing.remove(b, "pose"), by="bob", did="meanwhile")
    assert not import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)[0].written
    file.write_text(file.read_text(encoding="utf-8").replace("object pose", "posture"), encoding="utf-8")
    with pytest.raises(BankError, match="row 2, line 3: the bank no longer has a condition 'pose'"):
        import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)


def test_conditions_without_a_row_are_removed_on_request_only(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("id,status\nbackground,accepted\n", encoding="utf-8")
    recorded, notes = import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)
    assert len(recorded.bank.conditions) == 2 and "left unchanged: pose (--remove-missing" in notes[0]
    recorded, notes = import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=True)
    assert [c.id for c in recorded.bank.conditions] == ["background"] and notes == []


def test_a_sheet_of_a_missing_revision_is_an_error_that_says_what_to_do(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    export(load(bank).bank, file, Format.CSV, False)
    apply_change(bank, lambda b: editing.reject(b, ["pose"]), by="bob", did="meanwhile")
    for copy in versions_folder(bank).glob("00001-*"):
        copy.unlink()
    with pytest.raises(BankError, match=r"(?s)revision 1: .* is missing.*without the column revision"):
        import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)
