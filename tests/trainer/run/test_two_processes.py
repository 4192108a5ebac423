"""Two processes in one run folder: the second is told; a process that died leaves nothing in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.small_runs import new_run, prepared
from trainer.errors import RunFailed, TrainerError
from trainer.evaluation.measuring import evaluate
from trainer.run.folder import Run
from trainer.train import train

HOLD = """
import sys, time
from pathlib import Path
from trainer.run.folder import Run
with Run(Path(sys.argv[1])).working():
    print("working", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_told(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=1)
    ready = prepared(config, cache)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    for work in (train, evaluate):
        with pytest.raises(RunFailed, match="another process is at work in this run"):
            work(run, ready)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    train(run, ready)
    assert evaluate(run, ready)["rounds"] == 1


def test_a_folder_with_a_lock_alone_is_free(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    _, config = new_run(tmp_path / "run")
    with pytest.raises(TrainerError, match="there is a run already"):
        Run.create(tmp_path / "run", config, None)
    (tmp_path / "file").touch()
    with pytest.raises(TrainerError, match="there is a run already"):
        Run.create(tmp_path / "file", config, None)
