"""`fedmpt bank` on the command line, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prompt_bank.recording.store import dumps, load, record
from prompt_bank.schema import Condition
from tests.prompt_bank.banks import content, fedmpt, good, text


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined 2 conditions")
    return path


def change(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_show_prints_a_summary(bank: Path) -> None:
    shown = fedmpt("bank", "show", bank, folder=bank.parent)
    assert shown.returncode == 0, shown.stderr
    for expected in ("small", "revision 1", "2 labels", "object pose", "proposed", "50 %", "room", "a-model"):
        assert expected in shown.stdout
    assert "edited" not in shown.stdout


def test_show_prints_json(bank: Path) -> None:
    shown = json.loads(fedmpt("bank", "show", bank, "--json", folder=bank.parent).stdout)
    assert shown["bank"] == json.loads(bank.read_text(encoding="utf-8"))
    assert shown["edited"] is False and shown["warnings"] == []


def test_a_hand_edit_flows_through_every_command(bank: Path) -> None:
    change(bank, '"object pose"', '"body pose"')
    folder = bank.parent
    assert "edited by hand since revision 1" in fedmpt("bank", "show", bank, folder=folder).stdout
    checked = fedmpt("bank", "check", bank, folder=folder)
    assert checked.returncode == 0 and "edited by hand since revision 1" in checked.stdout
    assert "body pose" in fedmpt("bank", "prompts", bank, "--condition", "pose", folder=folder).stdout
    done = fedmpt("bank", "commit", bank, "-m", "clearer\nwords", "--by", "ada", folder=folder)
    assert done.returncode == 0 and "revision 2 recorded" in done.stdout
    logged = json.loads(fedmpt("bank", "log", bank, "--json", folder=folder).stdout)
    assert [(e["revision"], e["by"], e["did"]) for e in logged] == [
        (1, "miner", "mined 2 conditions"), (2, "ada", "clearer words"),
    ]  # fmt: skip
    assert not load(bank).edited
    again = fedmpt("bank", "commit", bank, "-m", "nothing", folder=folder)
    assert again.returncode == 0 and "no hand edit since" in again.stdout
    assert load(bank).bank.revision == 2


def test_check_reports_all_problems_with_their_lines(tmp_path: Path) -> None:
    spoiled = content()
    spoiled["conditions"][0]["status"] = "maybe"
    spoiled["conditions"][1]["text"] = ""
    path = tmp_path / "bank.json"
    path.write_text(text(spoiled), encoding="utf-8")
    lines = [i for i, line in enumerate(text(spoiled).splitlines(), 1) if '"maybe"' in line or '"text": ""' in line]
    checked = fedmpt("bank", "check", path, folder=tmp_path)
    assert checked.returncode == 2 and checked.stdout == "" and "Traceback" not in checked.stderr
    assert f"conditions[0].status, line {lines[0]}: must be" in checked.stderr
    assert f"conditions[1].text, line {lines[1]}: is empty" in checked.stderr
    told = json.loads(fedmpt("bank", "check", path, "--json", folder=tmp_path).stdout)
    assert told["ok"] is False
    assert [(e["place"], e["line"]) for e in told["errors"]] == [
        ("conditions[0].status", lines[0]), ("conditions[1].text", lines[1]),
    ]  # fmt: skip


def test_check_shows_warnings_and_succeeds(tmp_path: Path) -> None:
    doubtful = content()
    doubtful["labels"].append({"name": "cats"})
    path = tmp_path / "bank.json"
    path.write_text(text(doubtful), encoding="utf-8")
    checked = fedmpt("bank", "check", path, folder=tmp_path)
    assert checked.returncode == 0
    assert "warning:" in checked.stderr and "'cats' is similar to 'cat'" in checked.stderr
    assert "not recorded yet" in checked.stdout
    told = json.loads(fedmpt("bank", "check", path, "--json", folder=tmp_path).stdout)
    assert (told["ok"], told["edited"]) == (True, True)
    assert [warning["place"] for warning in told["warnings"]] == ["labels[2].name"]


def test_prompts_can_be_narrowed(bank: Path) -> None:
    folder = bank.parent
    everything = fedmpt("bank", "prompts", bank, folder=folder).stdout.splitlines()
    assert len(everything) == 4
    one = fedmpt("bank", "prompts", bank, "--label", "cat", "--condition", "pose", folder=folder).stdout
    assert one == "[u1] … [u5] object pose [w1] … [w7] cat.\n"
    told = json.loads(fedmpt("bank", "prompts", bank, "--label", "cat", "--json", folder=folder).stdout)
    assert [p["condition_id"] for p in told] == ["background", "pose"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("prompts", "bank.json", "--label", "cats"), "there is no label 'cats'; there are cat, potted plant"),
        (("prompts", "bank.json", "--condition", "x"), "no proposed condition 'x'; there are background, pose"),
        (("show", "nothing.json"), "nothing.json: there is no such file"),
        (("show", "."), "cannot be read"),
        (("frobnicate",), "No such command"),
        (("commit", "bank.json"), "--message"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(bank: Path, words: tuple[str, ...], message: str) -> None:
    done = fedmpt("bank", *words, folder=bank.parent)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_message_that_is_too_long_is_an_error(bank: Path) -> None:
    change(bank, '"object pose"', '"body pose"')
    done = fedmpt("bank", "commit", bank, "-m", "x" * 501, folder=bank.parent)
    assert done.returncode == 2 and "did: has more than 500 characters" in done.stderr
    assert load(bank).edited


def test_model_answers_cannot_control_the_terminal(tmp_path: Path) -> None:
    condition = Condition(id="x", text="[red]x[/red]", definition="a\x1b]0;owned\x07b", values=("[/]",))
    path = tmp_path / "bank.json"
    path.write_text(dumps(good().model_copy(update={"conditions": (condition,), "dependencies": ()})), encoding="utf-8")
    shown = fedmpt("bank", "show", path, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout and "\x07" not in shown.stdout
    assert "[red]x[/red]" in shown.stdout and "[/]" in shown.stdout
