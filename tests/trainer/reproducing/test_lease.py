"""Leases: one holder at a time; the holder's death frees the cell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.reproducing.lease import claim, holder_of

HOLD = """
import sys, time
from pathlib import Path
from trainer.reproducing.lease import claim
lease = claim(Path(sys.argv[1]))
with lease.kept(0.05):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lease_has_one_holder_and_ends_with_its_work(tmp_path: Path) -> None:
    path = tmp_path / "cell.lease"
    lease = claim(path)
    assert lease is not None
    with lease.kept():
        assert claim(path) is None
        holder = holder_of(path)
        assert holder is not None
        assert holder.pid == os.getpid()
    assert holder_of(path) is None
    assert claim(path) is not None


def test_a_killed_process_leaves_its_cell_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cell.lease"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert claim(path) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    assert claim(path) is not None


@pytest.mark.parametrize("content", ['{"host": "elsewhere", "pid": 1, "token": "a"}', "", "[]"])
def test_another_host_or_a_damaged_lease_is_waited_for(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cell.lease"
    path.write_text(content)
    assert claim(path, stale=120) is None
    old = path.stat().st_mtime - 200
    os.utime(path, (old, old))
    assert claim(path, stale=120) is not None


def test_a_heartbeat_keeps_a_lease_and_a_suspended_holder_learns_that_it_lost_it(tmp_path: Path) -> None:
    path = tmp_path / "cell.lease"
    lease = claim(path)
    assert lease is not None
    with lease.kept(0.02):
        old = path.stat().st_mtime - 1000
        os.utime(path, (old, old))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < old + 500 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert claim(path, stale=100) is None
        # Another machine has taken it over.
        path.write_text('{"host": "elsewhere", "pid": 1, "token": "a"}')
        assert lease.lost.wait(10)
    assert path.exists()  # the other's lease is not removed
