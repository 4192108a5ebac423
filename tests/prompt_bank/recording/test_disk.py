"""Full disks and read-only folders: the error names the file, and the bank is unchanged."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fedmpt.common import files  # noqa: F401
from prompt_bank.cli import app
from prompt_bank.commands import (
    editor,  # noqa: F401
    tables,  # noqa: F401
)
from prompt_bank.editing import edits as editing
from prompt_bank.exchange import files as exchange  # noqa: F401
from prompt_bank.prompts import lengths as prompt_lengths
from prompt_bank.recording import proposals  # noqa: F401
from prompt_bank.recording import restoring as rescue  # noqa: F401
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.revisions import revision_problems
from prompt_bank.recording.store import load, record
from tests.prompt_bank.banks import good

PAGE = 4096
NOBODY = 65534


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined")
    return path


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A file size limit that interrupts a write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 1900])
def test_an_interrupted_write_leaves_the_bank(bank: Path, size: int) -> None:
    before = bank.read_bytes()
    with files_of_at_most(size), pytest.raises(OSError, match=re.escape(str(bank.parent))):
        apply_change(bank, lambda b: editing.accept(b, ["pose"]), by="ada", did="yes")
    assert bank.read_bytes() == before and not revision_problems(load(bank))
    assert not [*bank.parent.rglob("*.tmp")]
    assert apply_change(bank, lambda b: editing.accept(b, ["pose"]), by="ada", did="yes").bank.revision == 2


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 16 pages."""
    folder = Path(tempfile.mkdtemp())
    command = ["mount", "-t", "tmpfs", "-o", f"size={16 * PAGE}", "tmpfs", folder]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        if not mounted:
            pytest.skip("mounting a small disk needs root")
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def test_a_full_disk_leaves_the_bank_and_the_error_names_the_file(small_disk: Path) -> None:
    """With 0, 1, 2 … free pages, until the change succeeds."""
    path, filler = small_disk / "bank.json", small_disk / "filler"
    record(good(), path, by="miner", did="mined")
    before, refused = path.read_bytes(), 0
    for free in range(16):
        filler.write_bytes(b"")
        left = shutil.disk_usage(small_disk).free - free * PAGE
        filler.write_bytes(b"x" * max(left, 0))
        done = CliRunner().invoke(app, ["accept", str(path), "pose", "--by", "ada"])
        if done.exit_code == 0:
            break
        refused += 1
        assert done.exit_code == 1 and "No space left on device" in done.output and str(small_disk) in done.output
        assert path.read_bytes() == before and not load(path).edited and not revision_problems(load(path))
    assert refused >= 1 and load(path).bank.conditions[1].status == "accepted"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Become the user nobody for a moment, as root may write anywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A recorded bank in a read-only folder."""
    folder = Path(tempfile.mkdtemp())
    record(good(), folder / "bank.json", by="miner", did="mined")
    (folder / "c.csv").write_text("id,status\npose,accepted\n")
    for path in (folder, folder / "bank.versions"):
        path.chmod(0o555)
    yield folder / "bank.json"
    for path in (folder, folder / "bank.versions"):
        path.chmod(0o755)
    shutil.rmtree(folder)


def invoke(*words: str | Path) -> Result:
    prompt_lengths.token_ids("x")  # nobody may not be allowed to read the vocabulary
    with as_nobody():
        return CliRunner().invoke(app, [str(word) for word in words])


def test_a_bank_in_a_read_only_folder_can_be_read(read_only: Path) -> None:
    for words in (("show", read_only), ("check", read_only), ("log", read_only), ("diff", read_only, "1")):
        assert invoke(*words).exit_code == 0, words
    assert invoke("prompts", read_only).exit_code == 0


def test_an_error_names_the_read_only_folder(read_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    before = read_only.read_bytes()
    for words in (
        ("accept", read_only, "pose"),
        ("edit", read_only),
        ("import", read_only, read_only.parent / "c.csv"),
        ("export", read_only, read_only.parent / "d.csv"),
    ):
        done = invoke(*words)
        assert done.exit_code == 1 and "Permission denied" in done.output, (words, done.output)
        assert str(read_only.parent) in done.output and ".tmp" not in done.output
    assert read_only.read_bytes() == before


def test_a_disk_that_fails_at_any_flush_leaves_the_old_bank_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error at the n-th flush, for every n of a save: copy, its folder, file, its folder."""
    flush, failing, done = os.fsync, 0, False
    while not done:
        path = tmp_path / str(failing) / "bank.json"
        record(good(), path, by="miner", did="mined")
        calls = iter(range(100))

        def full(handle: int, failing: int = failing, calls: Iterator[int] = calls) -> None:
            if next(calls) == failing:
                raise OSError(28, "No space left on device")
            flush(handle)

        monkeypatch.setattr(os, "fsync", full)
        try:
            apply_change(path, lambda b: editing.accept(b, ["pose"]), by="ada", did="yes")
            done = True
        except OSError:
            failing += 1
        monkeypatch.undo()
        loaded = load(path)
        assert not loaded.edited and not revision_problems(loaded)
        expected = "proposed" if failing < 4 and not done else "accepted"  # the fourth comes when the file is in place
        assert loaded.bank.conditions[1].status == expected, failing
    assert failing == 4
