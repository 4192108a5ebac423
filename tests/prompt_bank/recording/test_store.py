"""Recording: revisions, hand edits, two writers, unreadable files, disk errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedmpt.common import files
from prompt_bank.errors import BankConflict, BankError
from prompt_bank.recording.store import content_hash, dumps, load, loads, record, versions_folder
from prompt_bank.schema import SCHEMA_FILE
from tests.prompt_bank.banks import good, renamed

REPOSITORY = Path(__file__).resolve().parents[3]


def edit(path: Path, old: str, new: str) -> None:
    """Edit a file by hand."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_recorded_bank_comes_back_unedited(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bank.json"
    recorded = record(good(), path, by="miner", did="mined")
    loaded = load(path)
    assert loaded.bank == recorded and not loaded.edited and loaded.warnings == ()
    assert path.read_text(encoding="utf-8") == dumps(recorded)
    (entry,) = recorded.history
    assert (entry.revision, entry.by, entry.did, entry.hash) == (1, "miner", "mined", content_hash(recorded))


def test_each_revision_is_numbered_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    bank = record(good(), path, by="miner", did="mined")
    kept_first = {file: file.read_bytes() for file in versions_folder(path).glob("*.json")}
    for number in (2, 3):
        bank = record(renamed(bank, f"n{number}"), path, by="ada", did=f"change {number}")
    assert [entry.revision for entry in bank.history] == [1, 2, 3] and bank.revision == 3
    copies = sorted(versions_folder(path).glob("*.json"))
    assert [loads(copy.read_text(encoding="utf-8"))[0].name for copy in copies] == ["small", "n2", "n3"]
    for copy, entry in zip(copies, bank.history, strict=True):
        kept = load(copy)
        assert content_hash(kept.bank) == entry.hash and not kept.edited
        assert entry.hash.removeprefix("sha256:")[:16] in copy.name
    assert all(file.read_bytes() == content for file, content in kept_first.items())


def test_a_hand_edit_is_detected_used_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    before = record(good(), path, by="miner", did="mined")
    edit(path, '"object pose"', '"body pose"')
    loaded = load(path)
    assert loaded.edited and loaded.bank.conditions[1].text == "body pose"
    recorded = record(loaded.bank, path, by="ada", did="clearer", expected_hash=loaded.hash)
    assert not load(path).edited
    assert recorded.history[:-1] == before.history


def test_white_space_is_no_edit(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined")
    path.write_text(json.dumps(json.loads(path.read_text())), encoding="utf-8")
    assert not load(path).edited


def test_a_bank_without_history_counts_as_edited(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    path.write_text(dumps(good()), encoding="utf-8")
    assert load(path).edited


def test_a_revision_number_changed_by_hand_does_not_break_the_count(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined")
    edit(path, '"revision": 1,\n  "labels"', '"revision": 900,\n  "labels"')
    assert load(path).edited
    assert record(load(path).bank, path, by="ada", did="edit").revision == 2


def test_a_bank_recorded_elsewhere_keeps_its_history(tmp_path: Path) -> None:
    bank = record(good(), tmp_path / "a.json", by="miner", did="mined")
    copied = record(bank, tmp_path / "b.json", by="ada", did="a copy")
    assert [entry.did for entry in copied.history] == ["mined", "a copy"]


def test_the_json_schema_is_written_beside_the_bank(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    bank = record(good(), path, by="miner", did="mined")
    assert (tmp_path / bank.schema_).read_bytes() == SCHEMA_FILE.read_bytes()


def test_a_change_to_an_older_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    first = record(good(), path, by="miner", did="mined")
    record(renamed(first, "mine"), path, by="ada", did="mine", expected_hash=content_hash(first))
    with pytest.raises(BankConflict, match="has changed since it was read"):
        record(renamed(first, "yours"), path, by="bob", did="yours", expected_hash=content_hash(first))
    assert load(path).bank.name == "mine"
    path.unlink()
    with pytest.raises(BankConflict):
        record(first, path, by="bob", did="yours", expected_hash=content_hash(first))


def test_an_invalid_bank_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    bank = good()
    twice = bank.model_copy(update={"labels": bank.labels + bank.labels[:1]})
    with pytest.raises(BankError, match=re.escape("labels[2].name")):
        record(twice, path, by="miner", did="mined")
    odd = bank.provenance.model_copy(update={"parameters": {"temperature": float("nan")}})
    with pytest.raises(BankError, match="JSON"):
        record(bank.model_copy(update={"provenance": odd}), path, by="miner", did="mined")
    with pytest.raises(BankError, match="did: has more than 500"):
        record(bank, path, by="miner", did="x" * 501)
    with pytest.raises(BankError, match="by: is empty"):
        record(bank, path, by="", did="mined")
    assert not path.exists()


def test_a_broken_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    path.write_text('{"format": 1, "name": "half', encoding="utf-8")
    with pytest.raises(BankError):
        record(good(), path, by="miner", did="mined")
    assert path.read_text(encoding="utf-8").endswith("half")


def test_a_link_stays_a_link_and_the_mode_is_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    bank = record(good(), real, by="miner", did="mined")
    real.chmod(0o640)
    link.symlink_to(real)
    record(renamed(bank, "new"), link, by="ada", did="renamed")
    assert link.is_symlink() and load(real).bank.name == "new"
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"\xff\xfe{\x00}\x00", "line 1: is not UTF-8"),
        (b'{"format": 1,\n"name": "caf\xe9"}', "line 2: is not UTF-8"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "bank.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BankError, match=message):
        load(path)


def test_a_folder_is_not_a_bank(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="cannot be read"):
        load(tmp_path)


def test_a_disk_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bank.json"
    bank = record(good(), path, by="miner", did="mined")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        record(renamed(bank, "new"), path, by="ada", did="renamed")
    assert load(path).bank == bank
    assert not [*tmp_path.rglob("*.tmp")]


def test_a_held_lock_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.05)
    path = tmp_path / "bank.json"
    bank = record(good(), path, by="miner", did="mined")
    with files.locked(versions_folder(path) / ".lock"), pytest.raises(TimeoutError, match="another process"):
        record(bank, path, by="ada", did="again")
    assert load(path).bank == bank


WRITER = """
import sys
from pathlib import Path
from prompt_bank.errors import BankConflict
from prompt_bank.recording.store import load, record
path, who, rounds, careful = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "careful"
print("ready", flush=True)
done = 0
while done < rounds:
    loaded = load(path)
    changed = loaded.bank.model_copy(update={"name": loaded.bank.name + who})
    try:
        record(changed, path, by=who, did=f"{who} {done}", expected_hash=loaded.hash if careful else None)
        done += 1
    except BankConflict:
        pass
"""


def writer(path: Path, who: str, rounds: int, manner: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), who, str(rounds), manner]
    started = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None and started.stdout.readline() == "ready\n"
    return started


def test_two_writers_lose_no_change(tmp_path: Path) -> None:
    """Each adds its letter eight times to the name it read; a lost update would leave fewer than 16."""
    path = tmp_path / "bank.json"
    record(renamed(good(), "x"), path, by="miner", did="mined")
    both = [writer(path, who, 8, "careful") for who in "ab"]
    assert [process.wait(timeout=100) for process in both] == [0, 0]
    bank = load(path).bank
    assert sorted(bank.name) == sorted("x" + "a" * 8 + "b" * 8)
    assert [entry.revision for entry in bank.history] == list(range(1, 18))
    assert len([*versions_folder(path).glob("*.json")]) == 17
