"""Saves that are killed: at random moments and at each line, no acknowledged revision is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prompt_bank.recording.revisions import revision_problems
from prompt_bank.recording.store import load, record
from tests.prompt_bank.banks import good, renamed

REPOSITORY = Path(__file__).resolve().parents[3]


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
    """Kill a save at its first line, its second …, in our code and in pathlib's calls that write."""
    record(renamed(good(), "old"), tmp_path / "start" / "bank.json", by="miner", did="mined")
    command = [sys.executable, "-c", KILLED_AT_EACH_LINE, str(tmp_path / "start"), str(tmp_path / "work")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    lines, status = map(int, done.stdout.split())
    assert status == 0 and lines > 50
    assert load(tmp_path / "work" / "bank.json").bank.name == "new"
