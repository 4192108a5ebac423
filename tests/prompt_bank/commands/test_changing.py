"""`fedmpt bank`: the commands that change a bank, and those that look at its revisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prompt_bank.cli import app
from prompt_bank.recording.store import load, record, versions_folder
from tests.prompt_bank.banks import fedmpt, good


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined 2 conditions")
    return path


def run(bank: Path, *words: str, code: int = 0) -> str:
    """The output of a bank command; its errors if it should fail."""
    command, *rest = words
    done = fedmpt("bank", command, bank, *rest, folder=bank.parent)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def as_json(bank: Path, *words: str) -> Any:
    return json.loads(run(bank, *words, "--json"))


def statuses(bank: Path) -> dict[str, str]:
    return {c.id: c.status for c in load(bank).bank.conditions}


def test_every_command_has_an_example() -> None:
    for command in app.registered_commands:
        example = (getattr(command.callback, "__doc__", None) or "").partition("Example:  ")[2]
        assert "fedmpt bank" in example, command


def test_decisions_are_recorded_one_by_one(bank: Path) -> None:
    said = run(bank, "accept", "background", "pose", "--by", "ada", "-m", "both\nmake sense")
    assert "~ condition background" in said and "proposed → accepted" in said
    assert "revision 2 recorded; training uses the 2 accepted conditions" in said
    assert "the 1 accepted condition" in run(bank, "reject", "pose")
    assert statuses(bank) == {"background": "accepted", "pose": "rejected"}
    run(bank, "propose", "pose", "background")
    assert statuses(bank) == {"background": "proposed", "pose": "proposed"}
    run(bank, "accept", "--all")
    assert statuses(bank) == {"background": "accepted", "pose": "accepted"}
    told = [(e["by"], e["did"]) for e in as_json(bank, "log")][1:]
    assert told[0] == ("ada", "both make sense")
    assert [did for _, did in told[1:]] == [
        "rejected pose", "reverted the decision on pose, background", "accepted all proposed conditions",
    ]  # fmt: skip
    assert "nothing to change" in run(bank, "accept", "--all")
    assert load(bank).bank.revision == 5


def test_words_are_changed_merged_added_and_removed(bank: Path) -> None:
    run(bank, "rename", "pose", "body pose")
    run(
        bank,
        "add",
        "season",
        "--definition",
        "When.",
        "--value",
        "winter",
        "--value",
        "summer",
        "--note",
        "n",
        "--accept",
    )
    added = load(bank).bank.conditions[-1]
    assert (added.id, added.definition, added.values, added.note, added.status, added.origin) == (
        "season", "When.", ("winter", "summer"), "n", "accepted", "added",
    )  # fmt: skip
    run(bank, "merge", "pose", "season", "--definition", "Both.")
    (_, merged) = load(bank).bank.conditions
    assert (merged.id, merged.text, merged.definition) == ("pose", "body pose", "Both.")
    run(bank, "merge", "background", "pose", "--text", "all")
    run(bank, "add", "other")
    said = run(bank, "remove", "background", "other")
    assert "training uses none: no condition is accepted or proposed" in said
    assert load(bank).bank.conditions == () and load(bank).bank.dependencies == ()


def test_a_change_is_printed_as_json(bank: Path) -> None:
    told = as_json(bank, "rename", "pose", "body pose")
    assert (told["recorded"], told["revision"], told["hand_edit"]) == (True, 2, None)
    assert told["changes"][0] == {
        "part": "condition", "key": "pose", "kind": "changed", "field": "text", "before": "object pose",
        "after": "body pose", "position": 1,
    }  # fmt: skip
    told = as_json(bank, "rename", "pose", "body pose")
    assert (told["recorded"], told["revision"], told["changes"]) == (False, 2, [])


def test_a_hand_edit_is_kept_apart_from_a_command(bank: Path) -> None:
    bank.write_text(bank.read_text(encoding="utf-8").replace('"object pose"', '"stance"'), encoding="utf-8")
    said = run(bank, "accept", "pose")
    assert "revision 2 recorded: the hand edits made before" in said and "revision 3 recorded" in said
    assert as_json(bank, "diff", "1", "2")[0]["after"] == "stance"
    assert [c["field"] for c in as_json(bank, "diff", "2", "3")] == ["status"]


def test_diff_against_revisions(bank: Path) -> None:
    assert run(bank, "diff") == "no difference\n" and as_json(bank, "diff") == []
    run(bank, "rename", "pose", "stance")
    run(bank, "reject", "pose")
    assert [c["field"] for c in as_json(bank, "diff", "1")] == ["text", "status", "origin"]
    assert [c["field"] for c in as_json(bank, "diff", "2", "3")] == ["status"]
    assert [c["after"] for c in as_json(bank, "diff", "3", "1")] == ["object pose", "proposed", "mined"]
    bank.write_text(bank.read_text(encoding="utf-8").replace('"stance"', '"posture"'), encoding="utf-8")
    shown = run(bank, "diff")
    assert "~ condition pose" in shown and "stance → posture" in shown
    third = as_json(bank, "log")[2]["hash"]
    assert [c["after"] for c in as_json(bank, "diff", third[7:15])] == ["posture"]
    assert "there is no revision '9'; there are 1, 2, 3" in run(bank, "diff", "9", code=2)
    assert "at most two revisions" in run(bank, "diff", "1", "2", "3", code=2)


def test_restore(bank: Path) -> None:
    run(bank, "reject", "pose")
    assert "rejected → proposed" in run(bank, "restore", "1")
    assert load(bank).bank.history[-1].did == "restored revision 1"
    assert "nothing to change" in run(bank, "restore", "1")
    bank.write_bytes(bank.read_bytes()[:200])
    assert "cut off" in run(bank, "show", code=2) or "not closed" in run(bank, "show", code=2)
    done = fedmpt("bank", "restore", bank, "newest", folder=bank.parent)
    assert done.returncode == 0 and "was renamed to" in done.stderr and "bank.broken-1.json" in done.stderr
    assert statuses(bank) == {"background": "proposed", "pose": "proposed"}


def test_check_reports_missing_revisions(bank: Path) -> None:
    run(bank, "reject", "pose")
    for copy in versions_folder(bank).glob("*.json"):
        copy.unlink()
    run(bank, "propose", "pose")
    (warned,) = as_json(bank, "check")["warnings"]
    assert warned["place"] == "history" and "bank.versions: 1; restore this folder" in warned["message"]


def test_check_warns_of_prompts_that_training_would_refuse(bank: Path) -> None:
    text = bank.read_text(encoding="utf-8").replace('"condition_tokens": 5', '"condition_tokens": 64')
    bank.write_text(text.replace('"class_tokens": 7', '"class_tokens": 60'), encoding="utf-8")
    told = as_json(bank, "check")
    assert told["ok"] is True and told["counts"]["proposed"] == 2
    places = [w["place"] for w in told["warnings"]]
    assert places == ["conditions[0].text", "conditions[1].text", "labels[1].name"]
    shown = fedmpt("bank", "prompts", bank, "--tokens", "--label", "cat", folder=bank.parent)
    assert shown.stdout.startswith("129  [u1] … [u64] background") and "CLIP reads 77" in shown.stderr
    assert [p["same_as"] for p in as_json(bank, "prompts")] == [None, ["background", "cat"], None, ["pose", "cat"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("accept",), "name the conditions to accept, or --all"),
        (("accept", "pose", "--all"), "name the conditions to accept, or --all"),
        (("accept", "poes"), "there is no condition 'poes'; there are pose, background"),
        (("rename", "pose", ""), "bank.json: conditions[1].text: is empty"),
        (("rename", "pose", "BACKGROUND"), "is already used at conditions[0].text"),
        (("merge", "pose"), "at least two"),
        (("merge", "nobody", "pose"), "there is no condition 'nobody'"),
        (("add", "a\nb"), "line break"),
        (("remove", "pose", "pose"), "there is no condition 'pose'"),
        (("restore", "2"), "there is no revision '2'; there are 1"),
        (("accept", "pose", "--by", ""), "by: is empty"),
    ],
)
def test_wrong_changes_are_said_and_write_nothing(bank: Path, words: tuple[str, ...], message: str) -> None:
    before = bank.read_bytes()
    assert message in run(bank, *words, code=2)
    assert bank.read_bytes() == before
