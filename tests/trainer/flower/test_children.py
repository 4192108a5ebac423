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
    (tmp_path / "fine").write_text("INFO: starting\n")
    assert complaint(tmp_path / "fine", 0) is None
