"""Flower's programs as children."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.trainer.flower.test_simulation import with_flower
from trainer.flower.children import complaint

SAID = """INFO: starting
\x1b[91mERROR \x1b[0m: Exit Code: 305
Failed to initialize the connection.
[code: 2004] Failed to activate SuperNode.

For more information, visit: a page
INFO: Shutting down
"""
STAYS = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
import flwr.supernode.cli
def broken(): raise OSError("TLS broke")
flwr.supernode.cli.flower_supernode = broken
sys.argv = ["-m", "flower-supernode"]
from trainer.flower.program import main
main()
"""


def test_a_program_that_says_why_it_ends(tmp_path: Path) -> None:
    (log := tmp_path / "log").write_text(SAID)
    assert complaint(log, 0) == "305 Failed to initialize the connection. [code: 2004] Failed to activate SuperNode."
    assert not complaint(log, len(SAID.encode()))
    (tmp_path / "else").write_text("INFO: starting\nINFO: ended\n")
    assert complaint(tmp_path / "else", 0) == "INFO: starting\nINFO: ended"


@with_flower
def test_a_program_ends_with_its_main_thread() -> None:
    done = subprocess.run([sys.executable, "-c", STAYS], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "OSError: TLS broke" in done.stderr
