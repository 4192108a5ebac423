"""Runs the mining command repeatedly in forked processes, and kills each at a random moment.

    python -m tests.condition_miner.killing URL KILLS SEED

Each process logs the cache key of every answer to `acknowledged` as soon as `AnswerCache.put` has returned.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import openai.resources.chat  # noqa: F401 - slow to load, so before the forks

from condition_miner import mining  # noqa: F401
from condition_miner.answers.cache import AnswerCache
from condition_miner.asking import asker  # noqa: F401
from condition_miner.model import resolving  # noqa: F401
from fedmpt.cli import build
from fedmpt.common import progress  # noqa: F401
from prompt_bank.recording import store  # noqa: F401

LONGEST = 120.0
"""Time limit of a run in seconds."""


def main(url: str, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    _timed(_start(url, "first"), "first")
    before, after = _timed(_start(url, "whole"), "whole")
    for number in range(kills):
        folder = f"killed-{number}"
        child = _start(url, folder)
        if number % 3:
            _await_answers(folder)
            time.sleep(rng.uniform(0, 1.1) * after)
        else:
            time.sleep(rng.uniform(0, 1.1) * before)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0


def _timed(child: int, folder: str) -> tuple[float, float]:
    """Seconds until a run's first answer, and from then until its end."""
    began = time.monotonic()
    _await_answers(folder)
    answered = time.monotonic()
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status), "the whole run was ended"
    assert os.WEXITSTATUS(status) == 0, "the whole run failed"
    return answered - began, time.monotonic() - answered


def _await_answers(folder: str) -> None:
    log = Path(folder) / "acknowledged"
    until = time.monotonic() + LONGEST
    while not (log.exists() and log.stat().st_size):
        assert time.monotonic() < until, "no answer came in"
        time.sleep(0.002)


def _start(url: str, folder: str) -> int:
    """Fork a process that mines with its own cache; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        Path(folder).mkdir()
        _acknowledge(folder)
        words = ["mine-conditions", "--labels", "labels.txt", "--base-url", url, "--concurrency", "4"]
        sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        build("mine-conditions")([*words, "--out", f"{folder}/bank.json", "--cache-dir", folder], standalone_mode=False)
        os._exit(0)
    except BaseException:
        os._exit(1)


def _acknowledge(folder: str) -> None:
    log = os.open(f"{folder}/acknowledged", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    put = AnswerCache.put

    def acknowledged(cache: AnswerCache, question: Any, answer: Any) -> None:
        put(cache, question, answer)
        os.write(log, f"{question.cache_key}\n".encode())

    AnswerCache.put = acknowledged  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
