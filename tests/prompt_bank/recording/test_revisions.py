"""Finding, verifying and restoring revisions; changes after hand edits and other writers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.editing import edits as editing
from prompt_bank.errors import BankConflict, BankError
from prompt_bank.recording import changes
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.restoring import restore
from prompt_bank.recording.revisions import find_revision, revision_problems
from prompt_bank.recording.store import content_hash, dumps, load, record, versions_folder
from prompt_bank.schema import Bank
from tests.prompt_bank.banks import good
from tests.prompt_bank.strategies import banks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bank with three revisions: as mined, with pose renamed, with background accepted."""
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined")
    apply_change(path, lambda bank: editing.rename(bank, "pose", "posture"), by="ada", did="clearer")
    apply_change(path, lambda bank: editing.accept(bank, ["background"]), by="bob", did="good one")
    return path


def texts(bank: Bank) -> list[str]:
    return [condition.text for condition in bank.conditions]


def hand_edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def copies(path: Path) -> list[Path]:
    return sorted(versions_folder(path).glob("*.json"))


def test_a_revision_is_found_by_number_by_hash_and_as_the_newest(path: Path) -> None:
    loaded = load(path)
    assert texts(find_revision(loaded, "1")) == ["background", "object pose"]
    for entry in loaded.bank.history:
        for name in (entry.hash, entry.hash[7:], entry.hash[7:11], entry.hash[:15]):
            assert content_hash(find_revision(loaded, name)) == entry.hash
    hand_edit(path, "posture", "stance")
    assert texts(find_revision(load(path), "newest"))[1] == "posture"


@pytest.mark.parametrize("wanted", ["4", "0", "-1", "abc", "zzzz", "sha256:", "", "ffffffffffff", "1.0", "../x"])
def test_an_unknown_revision_is_an_error(path: Path, wanted: str) -> None:
    with pytest.raises(BankError, match=r"there is no revision .*; there are 1, 2, 3"):
        find_revision(load(path), wanted)


def test_a_bank_without_revisions_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bank.json").write_text(dumps(good()), encoding="utf-8")
    with pytest.raises(BankError, match="nothing has been recorded"):
        find_revision(load(tmp_path / "bank.json"), "1")


def test_missing_copies_are_reported_and_existing_ones_work(path: Path) -> None:
    for copy in copies(path):
        copy.unlink()
    loaded = load(path)
    assert find_revision(loaded, "3") == loaded.bank, "the file itself is the copy of the newest"
    with pytest.raises(BankError, match="is missing; restore it"):
        find_revision(loaded, "1")
    (trouble,) = revision_problems(loaded)
    assert trouble.severity == "warning" and trouble.message.split("; ")[0].endswith("bank.versions: 1, 2")
    apply_change(path, lambda bank: editing.reject(bank, ["pose"]), by="ada", did="no")
    assert find_revision(load(path), "3") == loaded.bank, "the last copy of revision 3 was kept before it was replaced"


def test_damaged_copies_are_reported_and_never_restored(path: Path) -> None:
    first, second, _ = copies(path)
    first.write_bytes(first.read_bytes()[:100])
    hand_edit(second, "posture", "stance")
    loaded = load(path)
    assert [(t.place, " is damaged" in t.message, "was changed" in t.message) for t in revision_problems(loaded)] == [
        ("history[0]", True, False), ("history[1]", False, True),
    ]  # fmt: skip
    before = path.read_bytes()
    for wanted in ("1", "2"):
        with pytest.raises(BankError, match=f"revision {wanted}: "):
            restore(path, wanted, by="ada")
    assert path.read_bytes() == before


def test_a_copy_of_another_bank_under_the_right_name_is_damaged(path: Path) -> None:
    first, _, third = copies(path)
    first.write_bytes(third.read_bytes())
    with pytest.raises(BankError, match="was changed after it was recorded"):
        find_revision(load(path), "1")


def test_a_history_that_git_merged_needs_a_hash(path: Path, tmp_path: Path) -> None:
    """Two people recorded a revision 4, and git kept both entries and both copies."""
    other = tmp_path / "other.json"
    other.write_bytes(path.read_bytes())
    apply_change(path, lambda bank: editing.rename(bank, "pose", "mine"), by="ada", did="mine")
    apply_change(other, lambda bank: editing.rename(bank, "pose", "yours"), by="bob", did="yours")
    apply_change(path, lambda bank: editing.reject(bank, ["pose"]), by="ada", did="no")
    theirs = load(other).bank
    (copied,) = versions_folder(other).glob("00004-*")
    (versions_folder(path) / copied.name).write_bytes(copied.read_bytes())
    merged = json.loads(path.read_text(encoding="utf-8"))
    merged["history"].append(theirs.history[-1].model_dump())
    merged["conditions"][1]["text"] = "ours"
    path.write_text(json.dumps(merged, indent=2), encoding="utf-8")
    loaded = load(path)
    assert loaded.edited and any("history[5].revision" in str(w) for w in loaded.warnings)
    with pytest.raises(BankError, match=r"'4' is ambiguous; .*by ada: mine\); .*by bob: yours\)"):
        find_revision(loaded, "4")
    assert texts(find_revision(loaded, theirs.history[-1].hash[7:19]))[1] == "yours"
    written = record(loaded.bank, path, by="ada", did="merged")
    assert written.revision == 6, "numbers go on from the highest, not from the last"
    assert not load(path).edited and not revision_problems(load(path))


def test_conflict_markers_of_git_are_reported(path: Path) -> None:
    hand_edit(path, '  "conditions": [', '<<<<<<< HEAD\n  "conditions": [')
    with pytest.raises(BankError, match=r"line \d+: there is an unresolved git conflict"):
        load(path)


def test_a_field_that_a_newer_version_added_is_no_hand_edit(tmp_path: Path) -> None:
    """An older version without notes hashed fewer fields; its banks must not count as edited."""
    path = tmp_path / "bank.json"
    old = json.loads(dumps(good()))
    for condition in old["conditions"]:
        del condition["note"]
    from prompt_bank.recording.store import _hash

    entry = {"revision": 1, "at": "2026-11-23T00:00:00Z", "by": "miner", "did": "mined", "hash": _hash(old)}
    path.write_text(json.dumps({**old, "history": [entry]}), encoding="utf-8")
    assert not load(path).edited
    apply_change(path, lambda bank: editing.accept(bank, ["pose"]), by="ada", did="yes")
    assert find_revision(load(path), "1").conditions[1].status == "proposed", "it was kept as it was hashed"
    hand_edit(path, "object pose", "posture")
    assert load(path).edited


def test_restore_records_an_earlier_content_and_loses_nothing(path: Path) -> None:
    before = load(path).bank
    restored = restore(path, "1", by="ada")
    now = load(path)
    assert texts(now.bank) == ["background", "object pose"] and now.bank.revision == 4 and not now.edited
    assert now.bank.history[:3] == before.history and now.bank.history[3].did == "restored revision 1"
    assert {c.field for c in restored.result.changes} == {"text", "origin", "status"}
    assert restored.moved_to is None and find_revision(now, "3").conditions == before.conditions
    assert not restore(path, "1", by="ada").result.written, "it is there already"
    assert load(path).bank.revision == 4


def test_restore_keeps_a_hand_edit_as_a_revision(path: Path) -> None:
    hand_edit(path, "posture", "stance")
    restored = restore(path, "newest", by="ada")
    assert restored.result.hand_edit == 4 and load(path).bank.revision == 5
    assert texts(load(path).bank)[1] == "posture" and texts(find_revision(load(path), "4"))[1] == "stance"


@pytest.mark.parametrize("spoil", ["cut", "gone", "garbage"])
def test_restore_repairs_an_unreadable_or_missing_file(path: Path, spoil: str) -> None:
    before = load(path).bank
    if spoil == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:700] if spoil == "cut" else b"\x00\xff")
    broken = path.read_bytes() if path.exists() else None
    restored = restore(path, "newest", by="ada")
    now = load(path)
    assert now.bank.conditions == before.conditions and now.bank.revision == 4 and not now.edited
    if broken is None:
        assert restored.moved_to is None
    else:
        assert restored.moved_to is not None and restored.moved_to.read_bytes() == broken


def test_restore_without_copies_reports_the_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    path.write_text('{"format": 1', encoding="utf-8")
    with pytest.raises(BankError, match="cut off"):
        restore(path, "1", by="ada")
    assert path.read_text(encoding="utf-8") == '{"format": 1'


def test_a_change_records_a_hand_edit_first(path: Path) -> None:
    hand_edit(path, '"posture"', '"stance"')
    hand_edit(path, '"text": "background"', '"text": "surroundings"')
    done = apply_change(path, lambda bank: editing.reject(bank, ["pose"]), by="ada", did="no")
    assert done.hand_edit == 4 and done.bank.revision == 5
    assert [(c.field, c.after) for c in done.changes] == [("status", "rejected")]
    assert [c.origin for c in find_revision(load(path), "4").conditions] == ["edited", "edited"]


def test_a_change_that_changes_nothing_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    done = apply_change(path, lambda bank: editing.accept(bank, ["background"]), by="ada", did="again")
    assert not done.written and done.changes == () and path.read_bytes() == before


def test_a_change_is_retried_on_the_content_of_another_writer(path: Path) -> None:
    calls = []

    def edit(bank: Bank) -> Bank:
        calls.append(bank.revision)
        if len(calls) == 1:
            record(editing.add(bank, "season"), path, by="bob", did="faster")
        return editing.reject(bank, ["pose"])

    done = apply_change(path, edit, by="ada", did="no")
    assert [c.id for c in done.bank.conditions] == ["background", "pose", "season"]
    assert done.bank.conditions[1].status == "rejected"
    assert [entry.by for entry in done.bank.history] == ["miner", "ada", "bob", "bob", "ada"]


def test_a_change_fails_after_too_many_conflicts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_ATTEMPTS", 2)

    def edit(bank: Bank) -> Bank:
        record(editing.add(bank, f"season {bank.revision}"), path, by="bob", did="faster")
        return editing.reject(bank, ["pose"])

    with pytest.raises(BankConflict):
        apply_change(path, edit, by="ada", did="no")


def test_an_invalid_edit_names_the_file_and_writes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(BankError, match=r"bank.json: conditions\[1\].text: is empty"):
        apply_change(path, lambda bank: editing.rename(bank, "pose", ""), by="ada", did="no")
    assert path.read_bytes() == before


@settings(max_examples=25, deadline=None)
@given(banks(), st.data())
def test_restore_reverts_every_edit(tmp_path_factory: pytest.TempPathFactory, bank: Bank, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("undo") / "bank.json"
    first = record(bank, path, by="miner", did="mined")
    victim = data.draw(st.sampled_from([c.id for c in bank.conditions]))
    edits = [
        lambda b: editing.reject(b, [victim]),
        lambda b: editing.edit(b, victim, note="n", definition="other"),
        lambda b: editing.move(b, victim, 0),
        lambda b: editing.remove(b, victim),
        lambda b: editing.split(b, victim, [("one half!", "", []), ("other half!", "", [])]),
    ]
    apply_change(path, data.draw(st.sampled_from(edits)), by="ada", did="edit")
    restore(path, "1", by="ada")
    now = load(path).bank
    assert content_hash(now.model_copy(update={"revision": 1})) == first.history[0].hash


def test_a_flipped_byte_is_detected_or_changes_nothing(path: Path, tmp_path: Path) -> None:
    """300 bytes flipped, one at a time: an error with all problems, or a content that counts as edited, or the same."""
    rng, good_bytes, before = random.Random(0), path.read_bytes(), load(path).bank
    victim, noticed = tmp_path / "flipped.json", 0
    for _ in range(300):
        spoiled = bytearray(good_bytes)
        spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
        victim.write_bytes(bytes(spoiled))
        try:
            loaded = load(victim)
        except BankError as error:
            noticed += 1
            assert error.problems and all(problem.message for problem in error.problems)
            continue
        same = content_hash(loaded.bank) == content_hash(before)
        assert loaded.edited or same
        noticed += loaded.edited
    assert noticed > 200
