"""Apps end with the process that started them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

CHILD = "import sys, time; from trainer.flower.orphans import end_with_parent; end_with_parent(); print(0, flush=True)"
PARENT = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD + "; time.sleep(60)"!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os._exit(0)
"""


def test_an_app_ends_when_its_parent_is_gone() -> None:
    done = subprocess.run([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, check=True)
    child = Path(f"/proc/{int(done.stdout)}")
    ends = time.monotonic() + 20
    while alive(child):
        assert time.monotonic() < ends
        time.sleep(0.2)


def alive(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
