"""Shell completion of commands and options."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def completed(typed: str, folder: Path) -> list[str]:
    """What bash would offer after the typed words."""
    words = {"_FEDMPT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "fedmpt"],
        env={**os.environ, **words},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_and_options_are_completed(tmp_path: Path) -> None:
    assert completed("fedmpt se", tmp_path) == ["settings"]
    assert completed("fedmpt train --resu", tmp_path) == ["--resume"]
    assert completed("fedmpt bank sh", tmp_path) == ["show"]


def test_it_installs_itself(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    # The second command keeps bash alive: typer looks for the shell that it was started from.
    script = f"{sys.executable} -m fedmpt --install-completion; true"
    done = subprocess.run(
        [bash, "-c", script], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert "completion installed" in done.stdout, done.stdout + done.stderr
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "_FEDMPT_COMPLETE=complete_bash" in written
