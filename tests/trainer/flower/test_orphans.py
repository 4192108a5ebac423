"""Apps end with the process that started them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.trainer.flower.processes import free_port
from tests.trainer.flower.test_simulation import with_flower

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


APP = """
import os, subprocess, sys, time
from trainer.flower.children import environment
words = ["flwr-clientapp", "--runtime-api-address", sys.argv[1], "--token", "x", "--insecure"]
child = subprocess.Popen(words, env=environment(), stderr=subprocess.PIPE)
child.stderr.readline()
time.sleep(2)
print(child.pid, flush=True)
os._exit(0)
"""


@with_flower
def test_an_app_that_asks_a_supernode_that_was_killed_ends() -> None:
    """Flower starts it by its name; it asks again for ever, before our part of it runs."""
    address = f"127.0.0.1:{free_port()}"
    done = subprocess.run([sys.executable, "-c", APP, address], stdout=subprocess.PIPE, check=True, timeout=60)
    child = Path(f"/proc/{int(done.stdout)}")
    ends = time.monotonic() + 20
    while alive(child):
        assert time.monotonic() < ends
        time.sleep(0.2)
