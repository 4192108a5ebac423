"""Edits on the review page's server: none is lost, and none overwrites another person's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prompt_bank.editing import edits as editing
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.recording.store import load, loads, record
from prompt_bank.review.drafts import folder
from tests.local_server import Server
from tests.prompt_bank.review.serving import PAGE, edits, messages, recorded, served

OTHER = "1" * 32
ACCEPT = {"do": "accept", "id": "background"}
RENAME = {"do": "edit", "id": "pose", "text": "body pose"}
PATHS = ["bank", "draft", "discard", "preview", "rebase", "save"]


def test_a_preview_shows_what_the_edits_do_and_writes_nothing_but_the_draft(bank: Path, server: Server) -> None:
    before = bank.read_bytes()
    base = server.good("bank")["base"]
    shown = server.good("preview", edits(base, ACCEPT, RENAME))
    assert [c["status"] for c in shown["conditions"]] == ["accepted", "proposed", "proposed"]
    assert shown["conditions"][1]["text"] == "body pose" and shown["conditions"][1]["origin"] == "edited"
    assert shown["summary"] == "accepted background; renamed pose to body pose" and shown["outdated"] is False
    fields = {change["title"]: change["fields"] for change in shown["changes"]}
    assert fields["background"] == [{"field": "status", "before": "proposed", "after": "accepted"}]
    assert {"field": "words", "before": "object pose", "after": "body pose"} in fields["body pose"]
    assert bank.read_bytes() == before


def test_an_invalid_operation_is_reported_and_not_stored(server: Server) -> None:
    base = server.good("bank")["base"]
    server.good("preview", edits(base, ACCEPT))
    status, answer = server.ask("preview", edits(base, ACCEPT, {"do": "edit", "id": "pose", "text": "Background "}))
    assert status == 422 and answer["operation"] == 1 and "background" in messages(answer)
    assert server.good("draft", {"id": PAGE})["draft"]["operations"] == [ACCEPT]


def test_every_operation_is_equal_to_its_edit(bank: Path, server: Server) -> None:
    operations: list[dict[str, Any]] = [
        ACCEPT,
        {"do": "reject", "id": "pose"},
        {"do": "propose", "id": "pose"},
        {"do": "edit", "id": "pose", "text": "pose", "definition": "How it stands.", "values": ["lying"], "note": "?"},
        {"do": "split", "id": "pose", "parts": [{"text": "pose"}, {"text": "view", "values": ["side"]}]},
        {"do": "merge", "ids": ["pose", "lighting"], "text": "pose and light"},
        {"do": "add", "text": "season", "definition": "Time of the year.", "values": ["winter"], "note": "mine"},
        {"do": "move", "id": "season", "position": 0},
        {"do": "remove", "id": "view"},
        {"do": "set_dependency", "labels": ["sofa", "cat"], "conditions": ["season"]},
    ]
    expected = load(bank).bank
    expected = editing.propose(editing.reject(editing.accept(expected, ["background"]), ["pose"]), ["pose"])
    expected = editing.edit(expected, "pose", text="pose", definition="How it stands.", values=["lying"], note="?")
    expected = editing.split(expected, "pose", [("pose", "", []), ("view", "", ["side"])])
    expected = editing.merge(expected, ["pose", "lighting"], text="pose and light")
    expected = editing.add(expected, "season", "Time of the year.", ["winter"], note="mine", status="accepted")
    expected = editing.remove(editing.move(expected, "season", 0), "view")
    expected = set_dependency(expected, ["sofa", "cat"], ["season"])
    saved = server.good("save", edits(server.good("bank")["base"], *operations, did="much"))["saved"]
    written = load(bank).bank
    assert written.conditions == expected.conditions and written.dependencies == expected.dependencies
    assert (saved["last"]["revision"], saved["last"]["by"], saved["last"]["did"]) == (2, "ada", "much")
    assert server.good("draft", {"id": PAGE})["draft"] is None


def test_the_second_of_two_pages_gets_a_conflict_with_both_versions(bank: Path, server: Server) -> None:
    base = server.good("bank")["base"]
    theirs = {"do": "edit", "id": "pose", "text": "posture"}
    server.good("save", edits(base, theirs, {"do": "remove", "id": "lighting"}, did="first"))
    after_first = bank.read_bytes()
    mine = [ACCEPT, RENAME, {"do": "reject", "id": "lighting"}]
    assert server.good("preview", edits(base, *mine, page=OTHER))["outdated"] is True
    conflict = server.good("save", edits(base, *mine, page=OTHER, did="second"))["conflict"]
    assert bank.read_bytes() == after_first
    assert conflict["last"]["did"] == "first"
    sides = {change["title"]: change["fields"] for change in conflict["differences"]}
    assert {"field": "words", "before": "posture", "after": "body pose"} in sides["body pose"]
    assert {"field": "status", "before": "", "after": "rejected"} in sides["lighting"]
    assert [one["told"] for one in conflict["left_out"]] == ["rejected lighting"]
    assert server.good("draft", {"id": OTHER})["draft"]["operations"] == mine

    moved = server.good("rebase", edits(base, *mine, page=OTHER))
    assert moved["operations"] == mine[:2] and moved["base"] == conflict["hash"]
    assert "lighting" in moved["left_out"][0]["message"]
    server.good("save", edits(moved["base"], *mine[:2], page=OTHER, did="second"))
    conditions = load(bank).bank.conditions
    assert [(c.text, c.status) for c in conditions] == [("background", "accepted"), ("body pose", "proposed")]


def test_my_version_may_overwrite_theirs_which_stays_in_the_history(bank: Path, server: Server) -> None:
    base = server.good("bank")["base"]
    server.good("save", edits(base, RENAME, did="first"))
    conflict = server.good("save", edits(base, ACCEPT, page=OTHER, did="second"))["conflict"]
    text = bank.read_text(encoding="utf-8")
    bank.write_text(text.replace("body pose", "stance"), encoding="utf-8")
    again = server.good("save", edits(base, ACCEPT, page=OTHER, did="second", over=conflict["hash"]))["conflict"]
    assert "stance" in json.dumps(again["differences"])
    server.good("save", edits(base, ACCEPT, page=OTHER, did="second", over=again["hash"]))
    written = load(bank).bank
    assert [c.text for c in written.conditions] == ["background", "object pose", "lighting"]
    assert [entry.did for entry in written.history] == ["mined", "first", "edited by hand", "second"]
    kept = [load(file).bank.conditions[1].text for file in sorted(bank.with_suffix(".versions").glob("*.json"))]
    assert kept == ["object pose", "body pose", "stance", "object pose"]


def test_a_hand_edit_is_shown_and_recorded_before_the_page_s_edits(bank: Path, server: Server) -> None:
    bank.write_text(bank.read_text(encoding="utf-8").replace("object pose", "posture"), encoding="utf-8")
    opened = server.good("bank")
    assert opened["hand_edited"] and opened["conditions"][1]["text"] == "posture"
    server.good("save", edits(opened["base"], ACCEPT, did="decided"))
    loaded = load(bank)
    assert not loaded.edited
    assert [entry.did for entry in loaded.bank.history] == ["mined", "edited by hand", "decided"]
    assert (loaded.bank.conditions[1].text, loaded.bank.conditions[0].status) == ("posture", "accepted")


def test_a_bank_that_was_never_recorded_becomes_revision_1(tmp_path: Path) -> None:
    bank = recorded(tmp_path)
    content = json.loads(bank.read_text(encoding="utf-8"))
    bank.write_text(json.dumps({**content, "history": [], "revision": 0}), encoding="utf-8")
    with served(bank) as server:
        opened = server.good("bank")
        assert opened["last"] is None
        assert server.good("save", edits(opened["base"], ACCEPT, did="first"))["saved"]["last"]["revision"] == 1


def test_unsaved_edits_survive_the_server_and_are_offered_to_the_next_page(bank: Path) -> None:
    with served(bank) as first:
        base = first.good("bank")["base"]
        first.good("preview", edits(base, ACCEPT, RENAME))
    with served(bank) as second:
        (offered,) = second.good("bank")["drafts"]
        assert (offered["id"], offered["by"], offered["edits"]) == (PAGE, "ada", 2)
        kept = second.good("draft", {"id": PAGE})["draft"]
        assert kept["operations"] == [ACCEPT, RENAME]
        second.good("discard", {"id": PAGE})
        assert second.good("bank")["drafts"] == []


def test_edits_on_an_outdated_base_are_rebased(bank: Path) -> None:
    with served(bank) as first:
        base = first.good("bank")["base"]
        first.good("preview", edits(base, ACCEPT, RENAME))
    record(editing.remove(load(bank).bank, "pose"), bank, by="bob", did="no pose")
    with served(bank) as second:
        status, _ = second.ask("preview", edits(base, ACCEPT, RENAME))
        assert status == 410
        moved = second.good("rebase", edits(base, ACCEPT, RENAME))
        assert moved["conditions"][0]["status"] == "accepted"
        assert [one["told"] for one in moved["left_out"]] == ["renamed pose to body pose"]


def test_undone_edits_are_kept_and_a_draft_without_edits_is_deleted(bank: Path, server: Server) -> None:
    base = server.good("bank")["base"]
    server.good("preview", edits(base, ACCEPT, undone=[RENAME]))
    assert len(server.good("draft", {"id": PAGE})["draft"]["undone"]) == 1
    server.good("preview", edits(base))
    assert list(folder(bank).glob("*")) == []


def test_a_damaged_draft_is_reported_and_kept(bank: Path, server: Server) -> None:
    base = server.good("bank")["base"]
    server.good("preview", edits(base, ACCEPT))
    (file,) = folder(bank).glob("*.json")
    file.write_text(file.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    opened = server.good("bank")
    assert opened["drafts"] == [] and file.name in messages({"problems": opened["warnings"]})
    assert file.exists()


def test_a_file_that_becomes_invalid_stops_the_save_and_no_edit_is_lost(bank: Path, server: Server) -> None:
    base = server.good("bank")["base"]
    text = bank.read_text(encoding="utf-8")
    bank.write_text(text[:-30], encoding="utf-8")
    assert server.good("preview", edits(base, ACCEPT))["outdated"] is True
    status, answer = server.ask("save", edits(base, ACCEPT, did="x"))
    assert status == 422 and "not closed" in messages(answer)
    assert server.ask("bank")[0] == 422
    bank.write_text(text, encoding="utf-8")
    assert server.good("save", edits(base, ACCEPT, did="x"))["saved"]["last"]["revision"] == 2


@pytest.mark.parametrize(("did", "said"), [("", "did: is empty"), ("x" * 501, "more than 500 characters")])
def test_an_invalid_revision_message_is_refused(bank: Path, server: Server, did: str, said: str) -> None:
    before = bank.read_bytes()
    status, answer = server.ask("save", edits(server.good("bank")["base"], ACCEPT, did=did))
    assert status == 400 and said in messages(answer)
    assert bank.read_bytes() == before


def test_a_disk_error_is_reported(bank: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device", "disk")

    base = server.good("bank")["base"]
    before = bank.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    for path, content in (("preview", edits(base, ACCEPT)), ("save", edits(base, ACCEPT, did="x"))):
        status, answer = server.ask(path, content)
        assert status == 500 and "No space left on device" in messages(answer)
    assert bank.read_bytes() == before


def test_the_file_is_loaded_again_only_after_a_write(bank: Path, server: Server) -> None:
    base = server.good("bank")["base"]
    assert server.good("now") == {"hash": base}
    text = bank.read_text(encoding="utf-8")
    bank.write_text(text[:-30], encoding="utf-8")
    assert server.good("now") == {"hash": None}
    record(editing.accept(loads(text)[0], ["pose"]), tmp := bank.with_name("other.json"), by="bob", did="pose")
    tmp.replace(bank)
    assert server.good("now") == {"hash": load(bank).hash} != {"hash": base}
    bank.unlink()
    assert server.good("now") == {"hash": None}
