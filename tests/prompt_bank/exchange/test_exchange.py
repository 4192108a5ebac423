"""Spreadsheets and Label Studio: what nobody changed comes back as it was, what somebody changed arrives."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedmpt.common.words import fold
from prompt_bank.editing import edits as editing
from prompt_bank.editing.cells import correct
from prompt_bank.errors import BankError
from prompt_bank.exchange import label_studio, spreadsheet
from prompt_bank.exchange.files import export, import_changes
from prompt_bank.exchange.formats import Format
from prompt_bank.exchange.three_way import merge_edits
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.store import load, record, versions_folder
from prompt_bank.schema import Affinity, Bank, Condition
from tests.prompt_bank.banks import fedmpt, good
from tests.prompt_bank.strategies import ODD, PROSE, banks


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined")
    return path


def back_from_csv(text: str, bank: Bank) -> Bank:
    return merge_edits(bank, spreadsheet.edits(spreadsheet.read(text, "s.csv"), bank, "s.csv"), "s.csv")


def matrix_bank(folder: Path) -> Path:
    path = folder / "bank.json"
    affinity = Affinity(rows={"cat": (1.5, -2.0, None)})
    place = Condition(id="place", text="place", values=("room", "=1+1", "a;b"), affinity=affinity)
    record(good().model_copy(update={"conditions": (place,), "dependencies": ()}), path, by="miner", did="mined")
    return path


def test_a_matrix_goes_out_and_its_changed_cells_come_back_as_corrections(tmp_path: Path) -> None:
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
        ("condition,revision,label,room\nplace,1,cat,3\n", r"was 1.5; it is 3 here and 2 in the bank"),
    ],
)
def test_a_matrix_that_cannot_be_taken_over(tmp_path: Path, sheet: str, message: str) -> None:
    path, file = matrix_bank(tmp_path), tmp_path / "place.csv"
    apply_change(path, lambda b: correct(b, "place", "cat", "room", 2.0), by="bo", did="set")
    file.write_text(sheet)
    before = path.read_bytes()
    with pytest.raises(BankError, match=message):
        import_changes(path, file, Format.CSV, by="ada", did="taken", remove_missing=False)
    assert path.read_bytes() == before


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
def test_a_sheet_that_nobody_changed_is_no_change_and_holds_no_formula(bank: Bank) -> None:
    text = spreadsheet.dump(bank)
    assert back_from_csv(text, bank) == bank
    for row in rows_of(text):
        assert not any(cell.startswith(("=", "+", "-", "@", "|", "\t", "\r", "\n", "＝")) for cell in row.values())


@settings(max_examples=100, deadline=None)
@given(banks(), st.data())
def test_a_changed_cell_arrives_as_it_was_meant(bank: Bank, data: st.DataObject) -> None:
    """Whatever is written as the program itself writes it comes back: definition, note and values of a condition."""
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
def test_what_other_programs_make_of_a_sheet(writing: dict[str, Any], mark: str) -> None:
    rows = rows_of(spreadsheet.dump(good()))
    rows[1] |= {"text": " posture ", "status": "ACCEPTED", "support": "0,5", "values": "a; b ;;c\\;d"}
    bank = back_from_csv(mark + sheet_of(rows, **writing), good())
    changed = bank.conditions[1]
    assert (changed.text, changed.status, changed.origin, changed.support) == ("posture", "accepted", "edited", None)
    assert changed.values == ("a", "b", "c;d") and bank.conditions[0] == good().conditions[0]


def test_excels_own_heading_and_more_columns_and_rows() -> None:
    rows = rows_of(spreadsheet.dump(good()))
    rows = [{"remarks": "x", **row} for row in reversed(rows)] + [{"text": ""}, {"text": "season", "values": "=1;b"}]
    text = "sep=;\r\n" + sheet_of(rows, delimiter=";")
    sheet = spreadsheet.read(text, "s.csv")
    assert sheet.warnings == ("columns that a bank does not have were passed over: remarks",)
    bank = back_from_csv(text, good())
    assert [c.id for c in bank.conditions] == ["background", "pose", "season"], "sorting a sheet is no decision"
    assert (bank.conditions[2].origin, bank.conditions[2].values, bank.conditions[2].status) == (
        "added", ("=1", "b"), "proposed",
    )  # fmt: skip


def test_columns_that_are_left_out_stay() -> None:
    assert back_from_csv("id,status\r\npose,rejected\r\n", good()) == editing.reject(good(), ["pose"])


@pytest.mark.parametrize(("text", "message"), [
    ("", "is empty"),
    ("a,b\n1,2\n", "line 1: has no column id and none called text; there may be id, text"),
    ("id,id\npose,pose\n", "the column 'id' occurs twice"),
    ("id,status\npose,maybe\n", r"conditions\[1\].status, line 2: must be 'proposed'"),
    ("id,text\n\npsoe,x\n", r"row 1, line 3: there is no condition 'psoe'; a new one has no id"),
    ("id,note\npose,x\npose,y\n", r"row 2, line 3: 'pose' is at row 1 already"),
    ("id,text\npose,\n", r"conditions\[1\].text, line 2: is empty"),
    ("id,text\n,BACKGROUND\n", r"conditions\[2\].text, line 2: the condition 'background' is already used at"),
    ("id,text\npose,x,y\n", r"line 2: the row has 3 cells, the heading 2"),
    ('id,text\npose,"x\n', r"line 2: is not CSV"),
    ('id,note\npose,"a\nb"\nbackground,"x"y\n', r"line 4: is not CSV"),
    ("id,revision\npose,1\nbackground,2\n", "rows are of different revisions of the bank: 1, 2"),
    ("id,text\npose," + "x" * 200_000 + "\n", r"is not CSV: field larger|has more than 100"),
])  # fmt: skip
def test_what_is_wrong_with_a_sheet_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BankError, match=message):
        back_from_csv(text, good())


def test_what_others_changed_meanwhile_stays(bank: Path, tmp_path: Path) -> None:
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


def test_a_change_to_what_is_gone_is_said(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    export(load(bank).bank, file, Format.CSV, False)
    apply_change(bank, lambda b: editing.remove(b, "pose"), by="bob", did="meanwhile")
    assert not import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)[0].written
    file.write_text(file.read_text(encoding="utf-8").replace("object pose", "posture"), encoding="utf-8")
    with pytest.raises(BankError, match="row 2, line 3: the bank has no condition 'pose' now"):
        import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)


def test_missing_rows_stay_unless_they_are_to_go(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("id,status\nbackground,accepted\n", encoding="utf-8")
    recorded, notes = import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)
    assert len(recorded.bank.conditions) == 2 and "left as they are: pose (--remove-missing" in notes[0]
    recorded, notes = import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=True)
    assert [c.id for c in recorded.bank.conditions] == ["background"] and notes == []


def test_a_sheet_of_a_revision_that_is_lost_says_what_to_do(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    export(load(bank).bank, file, Format.CSV, False)
    apply_change(bank, lambda b: editing.reject(b, ["pose"]), by="bob", did="meanwhile")
    for copy in versions_folder(bank).glob("00001-*"):
        copy.unlink()
    with pytest.raises(BankError, match=r"(?s)revision 1: .* is missing.*without its column revision"):
        import_changes(bank, file, Format.CSV, by="ada", did="sheet", remove_missing=False)


def annotated(tasks: str, *answers: dict[str, Any] | None, **more: Any) -> str:
    """The tasks as Label Studio exports them, with one annotation each; None leaves a task without."""
    rows = json.loads(tasks)
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True), 1):
        shown = row["predictions"][0]["result"]
        results = [dict(result, id=f"r{i}", origin="manual") for i, result in enumerate(shown)]
        for name, value in (answer or {}).items():
            kind = "choices" if name == "status" else "textarea"
            field = {"choices": [value]} if name == "status" else {"text": [value] if name == "text" else value}
            results = [r for r in results if r["from_name"] != name]
            results.append({"from_name": name, "to_name": "about", "type": kind, "value": field})
        annotation = {"id": number, "completed_by": 1, "result": results, "was_cancelled": False, **more}
        row |= {"id": number, "project": 1, "annotations": [] if answer is None else [annotation]}
    return json.dumps(rows, indent=2, ensure_ascii=False)


def back_from_tasks(text: str, bank: Bank) -> Bank:
    return merge_edits(bank, label_studio.edits(text, bank, "t.json"), "t.json")


@settings(max_examples=60, deadline=None)
@given(banks(), st.sampled_from(["accepted", "rejected"]))
def test_decisions_of_annotators_arrive(bank: Bank, status: str) -> None:
    tasks = label_studio.dump(bank)
    answers = [{"status": status, "note": "seen"}] * len(bank.conditions)
    wanted = [c.model_copy(update={"status": status, "note": "seen"}) for c in bank.conditions]
    assert back_from_tasks(annotated(tasks, *answers), bank).conditions == tuple(wanted)
    assert back_from_tasks(annotated(tasks, *[None] * len(wanted)), bank) == bank, "nobody annotated"
    assert back_from_tasks(annotated(tasks, *answers, was_cancelled=True), bank) == bank, "all were skipped"


def test_tasks_show_what_a_person_needs() -> None:
    first, second = json.loads(label_studio.dump(good()))
    assert first["data"]["about"] == "background\nFor instance: room\nExplains 50 % of the descriptions."
    assert first["data"]["captions"] == "A cat in a room. (cat)" and second["data"]["captions"] == "none"
    shown = {r["from_name"]: r for r in first["predictions"][0]["result"]}
    assert shown["status"]["value"] == {"choices": ["proposed"]} and shown["text"]["value"] == {"text": ["background"]}
    for name, result in shown.items():
        assert f'name="{name}" toName="{result["to_name"]}"' in label_studio.CONFIG
    for variable in ("about", "captions"):
        assert f'"${variable}"' in label_studio.CONFIG and variable in first["data"]


def test_new_words_arrive_and_what_was_not_annotated_stays() -> None:
    text = annotated(label_studio.dump(good()), None, {"status": "accepted", "text": "posture"})
    assert back_from_tasks(text, good()) == editing.accept(editing.rename(good(), "pose", "posture"), ["pose"])


def test_annotators_who_disagree_are_named() -> None:
    rows = json.loads(annotated(label_studio.dump(good()), {"status": "accepted"}, {"status": "accepted"}))
    other = json.loads(json.dumps(rows[0]["annotations"][0]).replace('"accepted"', '"rejected"'))
    rows[0]["annotations"].append(other)
    with pytest.raises(BankError, match="task 1, line 2: annotators disagree on status of 'background': acc"):
        back_from_tasks(json.dumps(rows, indent=2), good())
    rows[0]["annotations"][1]["was_cancelled"] = True
    assert back_from_tasks(json.dumps(rows), good()).conditions[0].status == "accepted"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t[:-20], "line"),
        (lambda t: "{}", "must be a valid list"),
        (lambda t: '[{"id": 1, "status": "accepted"}]', 'export them from Label Studio as "JSON", not as "JSON-MIN"'),
        (lambda t: t.replace('"small"', '"other"'), "task 1, line 2: is about the bank 'other', not 'small'"),
        (lambda t: t.replace('"condition": "pose"', '"condition": 5'), r"tasks\[1\].data.condition, line \d+: must be"),
        (lambda t: t.replace('"annotations": [', '"annotations": [7,', 1), r"tasks\[0\].annotations\[0\], line"),
        (lambda t: t.replace('"condition": "pose"', '"condition": "psoe"'), "no condition 'psoe' now; there are pose"),
        (lambda t: t.replace('"choices": ["yes"]', "").replace('"yes"', '"maybe"'), "status, line 2: must be"),
    ],
)
def test_what_is_wrong_with_tasks_is_said(spoil: Any, message: str) -> None:
    text = annotated(label_studio.dump(good()), {"status": "yes"}, {"status": "accepted", "text": "posture"})
    with pytest.raises(BankError, match=message):
        back_from_tasks(spoil(text), good())


def test_what_another_person_decided_since_is_not_overwritten_by_tasks(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    export(load(bank).bank, file, Format.LABEL_STUDIO, False)
    tasks = annotated(file.read_text(encoding="utf-8"), {"note": "n"}, {"status": "accepted"})
    file.write_text(tasks, encoding="utf-8")
    apply_change(bank, lambda b: editing.reject(b, ["pose", "background"]), by="bob", did="meanwhile")
    with pytest.raises(BankError, match="it is 'accepted' here and 'rejected' in the bank"):
        import_changes(bank, file, Format.LABEL_STUDIO, by="ada", did="tasks", remove_missing=False)


def test_the_commands(bank: Path, tmp_path: Path) -> None:
    def run(*words: str | Path) -> Any:
        return fedmpt("bank", words[0], bank, *words[1:], folder=tmp_path)

    assert "2 conditions" in run("export", "c.csv").stdout
    again = run("export", "c.csv")
    assert again.returncode == 2 and "--force" in again.stderr and run("export", "c.csv", "--force").returncode == 0
    sheet = tmp_path / "c.csv"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("object pose", "posture"), encoding="utf-8")
    done = run("import", "c.csv", "--by", "ada")
    assert "object pose → posture" in done.stdout and "revision 2 recorded" in done.stdout
    assert (load(bank).bank.history[-1].by, load(bank).bank.history[-1].did) == ("ada", "imported c.csv")
    assert "nothing to change" in run("import", "c.csv").stdout
    assert run("export", "t.json").returncode == 0 and (tmp_path / "t.xml").read_text().startswith("<View>")
    tasks = (tmp_path / "t.json").read_text(encoding="utf-8")
    (tmp_path / "t.json").write_text(annotated(tasks, {"status": "accepted"}, None), encoding="utf-8")
    told = json.loads(run("import", "t.json", "--json").stdout)
    assert told["recorded"] and told["changes"][0]["after"] == "accepted"
    unknown = run("export", "conditions")
    assert unknown.returncode == 2 and "does not tell the format" in unknown.stderr
    (tmp_path / "old.csv").write_bytes("id,text\npose,café\n".encode("cp1252"))
    assert "CSV UTF-8" in run("import", "old.csv").stderr
    assert "cannot be read: No such file" in run("import", "none.csv").stderr
