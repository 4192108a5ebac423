"""Recording: revisions, hand edits, two writers, kills and disks that refuse."""

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
from prompt_bank.recording.revisions import revision_problems
from prompt_bank.recording.store import content_hash, dumps, load, loads, record, versions_folder
from prompt_bank.schema import SCHEMA_FILE, Bank
from tests.prompt_bank.banks import good

REPOSITORY = Path(__file__).resolve().parents[3]


def renamed(bank: Bank, name: str) -> Bank:
    return bank.model_copy(update={"name": name})


def edit(path: Path, old: str, new: str) -> None:
    """What a person does in an editor."""
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


def test_each_revision_is_kept_and_counted(tmp_path: Path) -> None:
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


def test_a_hand_edit_is_noticed_used_and_recorded(tmp_path: Path) -> None:
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


def test_the_schema_that_a_bank_names_stands_beside_it(tmp_path: Path) -> None:
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


def test_a_bad_bank_is_not_written(tmp_path: Path) -> None:
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


def test_a_lock_that_is_held_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


KILLED_AT_RANDOM = """
import os, random, signal, sys, time
from pathlib import Path
from prompt_bank.recording.store import load, record, versions_folder
path, moments, acknowledged = Path(sys.argv[1]), random.Random(0), 1
for kill in range(50):
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            bank = load(path).bank
            bank = bank.model_copy(update={"name": f"n{bank.revision + 1}"})
            written = record(bank, path, by="child", did=f"kill {kill}")
            os.write(theirs, written.revision.to_bytes(4, "big"))
    os.close(theirs)
    told = b"".join(os.read(ours, 4) for _ in range(moments.randrange(3)))  # so that each machine gets to write
    time.sleep(moments.uniform(0.0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(ours, "rb") as pipe:
        told += pipe.read()
    acknowledged = max([acknowledged, *(int.from_bytes(told[i:i + 4], "big") for i in range(0, len(told), 4))])
    loaded = load(path)
    assert not loaded.edited and loaded.bank.revision >= acknowledged, (kill, acknowledged)
    assert loaded.bank.name == f"n{loaded.bank.revision}", kill
    assert [entry.revision for entry in loaded.bank.history] == [*range(1, loaded.bank.revision + 1)], kill
for copy in versions_folder(path).glob("*.json"):
    assert not load(copy).edited, copy
print(acknowledged)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_at_random_moments_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    record(renamed(good(), "n1"), path, by="miner", did="mined")
    command = [sys.executable, "-c", KILLED_AT_RANDOM, str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40, "one revision was waited for at each kill, on average"
    loaded = load(path)
    assert not revision_problems(loaded), "every recorded revision can be read"
    record(renamed(loaded.bank, "z"), path, by="ada", did="after the kills")
    assert not [*tmp_path.rglob("*.tmp")], "what the killed ones left is swept away"


KILLED_AT_EACH_LINE = """
import os, shutil, signal, sys
from pathlib import Path
from prompt_bank.recording.store import load, record, versions_folder
start, folder, at = Path(sys.argv[1]), Path(sys.argv[2]), 0
path = folder / "bank.json"
while True:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(start, folder)
    child = os.fork()
    if child == 0:
        left = at
        def tracer(frame, event, argument):
            global left
            code = frame.f_code
            ours = code.co_filename.endswith(("common/files.py", "prompt_bank/recording/store.py"))
            changes_disk = {"mkdir", "open", "replace", "unlink", "chmod"}
            if not ours and not (code.co_filename.endswith("pathlib.py") and code.co_name in changes_disk):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return tracer
        bank = load(path).bank.model_copy(update={"name": "new"})
        sys.settrace(tracer)
        record(bank, path, by="child", did="it")
        sys.settrace(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    loaded = load(path)
    assert not loaded.edited, at
    assert (loaded.bank.revision, loaded.bank.name) in ((1, "old"), (2, "new")), at
    for copy in versions_folder(path).glob("*.json"):
        assert not load(copy).edited, at
    if os.WIFEXITED(status):
        print(at, os.WEXITSTATUS(status))
        break
    at += 1
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_each_line_of_a_save_leaves_a_good_file(tmp_path: Path) -> None:
    """A save is killed at its first line, its second …, in our code and where pathlib changes the disk, to its end."""
    record(renamed(good(), "old"), tmp_path / "start" / "bank.json", by="miner", did="mined")
    command = [sys.executable, "-c", KILLED_AT_EACH_LINE, str(tmp_path / "start"), str(tmp_path / "work")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    lines, status = map(int, done.stdout.split())
    assert status == 0 and lines > 50
    assert load(tmp_path / "work" / "bank.json").bank.name == "new"
