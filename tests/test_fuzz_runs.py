"""A few cases of the fuzzer of run folders; benchmarks/fuzz_runs.py runs for as long as one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_damaged_folders_are_clear_errors() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "fuzz_runs.py"
    words = [sys.executable, str(script), "--seconds", "15", "--seed", "424242"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=script.parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout
