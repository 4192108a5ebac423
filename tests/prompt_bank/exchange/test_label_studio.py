"""Label Studio tasks: export, import of annotations, and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.editing import edits as editing
from prompt_bank.errors import BankError
from prompt_bank.exchange import label_studio
from prompt_bank.exchange.files import export, import_changes
from prompt_bank.exchange.formats import Format
from prompt_bank.exchange.three_way import merge_edits
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.store import load
from prompt_bank.schema import Bank
from tests.prompt_bank.banks import fedmpt, good
from tests.prompt_bank.strategies import banks


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
def test_decisions_of_annotators_are_imported(bank: Bank, status: str) -> None:
    tasks = label_studio.dump(bank)
    answers = [{"status": status, "note": "seen"}] * len(bank.conditions)
    wanted = [c.model_copy(update={"status": status, "note": "seen"}) for c in bank.conditions]
    assert back_from_tasks(annotated(tasks, *answers), bank).conditions == tuple(wanted)
    assert back_from_tasks(annotated(tasks, *[None] * len(wanted)), bank) == bank, "nobody annotated"
    assert back_from_tasks(annotated(tasks, *answers, was_cancelled=True), bank) == bank, "all were skipped"


def test_a_task_shows_condition_definition_and_captions() -> None:
    first, second = json.loads(label_studio.dump(good()))
    assert first["data"]["about"] == "background\nFor instance: room\nExplains 50 % of the descriptions."
    assert first["data"]["captions"] == "A cat in a room. (cat)" and second["data"]["captions"] == "none"
    shown = {r["from_name"]: r for r in first["predictions"][0]["result"]}
    assert shown["status"]["value"] == {"choices": ["proposed"]} and shown["text"]["value"] == {"text": ["background"]}
    for name, result in shown.items():
        assert f'name="{name}" toName="{result["to_name"]}"' in label_studio.CONFIG
    for variable in ("about", "captions"):
        assert f'"${variable}"' in label_studio.CONFIG and variable in first["data"]


def test_new_words_are_imported_and_tasks_without_annotation_change_nothing() -> None:
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
        (lambda t: t.replace('"condition": "pose"', '"condition": "psoe"'), "no longer has a condition 'psoe'"),
        (lambda t: t.replace('"choices": ["yes"]', "").replace('"yes"', '"maybe"'), "status, line 2: must be"),
    ],
)
def test_errors_in_tasks_are_reported(spoil: Any, message: str) -> None:
    text = annotated(label_studio.dump(good()), {"status": "yes"}, {"status": "accepted", "text": "posture"})
    with pytest.raises(BankError, match=message):
        back_from_tasks(spoil(text), good())


def test_tasks_do_not_overwrite_a_later_decision(bank: Path, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    export(load(bank).bank, file, Format.LABEL_STUDIO, False)
    tasks = annotated(file.read_text(encoding="utf-8"), {"note": "n"}, {"status": "accepted"})
    file.write_text(tasks, encoding="utf-8")
    apply_change(bank, lambda b: editing.reject(b, ["pose", "background"]), by="bob", did="meanwhile")
    with pytest.raises(BankError, match="it is 'accepted' here and 'rejected' in the bank"):
        import_changes(bank, file, Format.LABEL_STUDIO, by="ada", did="tasks", remove_missing=False)


def test_export_and_import_commands(bank: Path, tmp_path: Path) -> None:
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
    assert unknown.returncode == 2 and "unknown suffix" in unknown.stderr
    (tmp_path / "old.csv").write_bytes("id,text\npose,café\n".encode("cp1252"))
    assert "CSV UTF-8" in run("import", "old.csv").stderr
    assert "cannot be read: No such file" in run("import", "none.csv").stderr
