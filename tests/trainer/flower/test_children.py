"""Flower's programs as children."""

from __future__ import annotations

from pathlib import Path

from trainer.flower.children import complaint

SAID = """INFO: starting
ERROR: Exit Code: 305
Failed to initialize the connection.
[code: 2004] Failed to activate SuperNode.

For more information, visit: a page
INFO: Shutting down
"""


def test_a_program_that_says_why_it_ends(tmp_path: Path) -> None:
    (log := tmp_path / "log").write_text(SAID)
    assert complaint(log, 0) == "305 Failed to initialize the connection. [code: 2004] Failed to activate SuperNode."
    assert complaint(log, len(SAID)) is None
    gives_up = SAID.replace("Exit Code: 305", "Giving up reconnection after 1 seconds.").encode()
    (tmp_path / "up").write_bytes(b"\x1b[93mWARNING \x1b[0m: " + gives_up)
    assert str(complaint(tmp_path / "up", 0)).startswith("Giving up reconnection after 1 seconds. Failed to init")
    (tmp_path / "fine").write_text("INFO: starting\n")
    assert complaint(tmp_path / "fine", 0) is None
