"""Runs that end early lose no answers: Ctrl-C, kill -9 at any time, an exhausted budget, an overloaded server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.files import verify
from prompt_bank.recording.store import load
from tests.condition_miner.server import Server, completion, good, hang, status
from tests.condition_miner.shell import QUICK, Shell

KILLS = 50


def started(shell: Shell, server: Server, requests: int) -> subprocess.Popen[str]:
    """The mining command in its own process, after the server received this many of its requests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "FEDMPT_"))}
    running = subprocess.Popen(
        [sys.executable, "-m", "fedmpt", "mine-conditions", "--labels", "labels.txt", *QUICK, "--base-url", server.url],
        cwd=shell.folder,
        env={**kept, "FEDMPT_CACHE_DIR": str(shell.folder / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while len(server.bodies) < requests and time.monotonic() < until:
        time.sleep(0.02)
    return running


def test_ctrl_c_waits_for_requests_in_flight(shell: Shell, server: Server) -> None:
    """The answers to the four requests in flight are cached, and no fifth request is sent."""
    server.delay = 1.0
    running = started(shell, server, 4)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "waiting up to 10 s for 4 answers under way; Ctrl-C again ends at once" in said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert len(server.bodies) == 4
    with AnswerCache(shell.folder / "cache") as cache:
        assert sum(n for origin, n in cache.counts().items() if origin.stage != "probe") == 4
    server.delay = 0.0
    sent = len(server.bodies)
    assert shell.mine(server).code == 0
    assert server.bodies[sent]["messages"] not in [body["messages"] for body in server.bodies[:sent]]


def test_a_second_ctrl_c_ends_at_once(shell: Shell, server: Server) -> None:
    server.always = hang
    running = started(shell, server, 4)
    running.send_signal(signal.SIGINT)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said


def test_kill_at_50_random_moments(shell: Shell, server: Server) -> None:
    """Every answer whose put() returned is in the cache, every row is valid, and a bank is complete or absent."""
    server.delay = 0.01
    ran = subprocess.run(
        [sys.executable, "-m", "tests.condition_miner.killing", server.url, str(KILLS), "7"],
        cwd=shell.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    counts = []
    for folder in sorted(shell.folder.glob("killed-*")):
        log = folder / "acknowledged"
        acknowledged = log.read_text().splitlines() if log.exists() else []
        counts.append(len(acknowledged))
        if (folder / "answers").exists():
            with AnswerCache(folder) as cache:
                good_rows, damages = verify(cache)
                assert damages == []
                assert set(acknowledged) <= set(cache.answer_keys())
                assert good_rows <= len(acknowledged) + 1
        if (folder / "bank.json").exists():
            assert load(folder / "bank.json").bank.conditions
    assert len(counts) == KILLS
    assert len(set(counts)) > 5, "the kills hit the same moment again and again"


def test_an_exhausted_budget_ends_the_run_and_the_next_run_resumes(shell: Shell, server: Server) -> None:
    """Each run stays within its budget, reports what is missing, and repeats no request of an earlier run."""
    words = ("--budget-tokens", "3000", "--concurrency", "2", "--combinations", "40")

    def expensive(handler: object, body: dict[str, object]) -> None:
        reply = completion(good(body))
        reply["usage"] = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}
        handler.send(reply)  # type: ignore[attr-defined]

    server.always = expensive
    done = shell.mine(server, *words)
    assert done.code == 1
    assert "the budget of 3000 tokens is used up" in done.err
    assert "stage describe lacks" in done.err
    first = len(server.bodies)
    assert 0 < 500 * first <= 3000
    assert shell.mine(server, *words).code == 1
    asked = [json.dumps(body, sort_keys=True) for body in server.bodies]
    assert len(asked) > first
    assert len(set(asked)) == len(asked)
    runs = 2
    while shell.mine(server, *words).code == 1 and runs < 60:
        runs += 1
    assert load(shell.folder / "bank.json").bank.conditions


def test_a_budget_too_small_for_one_request(shell: Shell, server: Server) -> None:
    done = shell.mine(server, "--budget-tokens", "10")
    assert done.code == 1
    assert "used up (0 spent)" in done.err
    assert server.bodies == server.probes == []


def test_concurrency_adapts_to_an_overloaded_server(shell: Shell, server: Server) -> None:
    """The server accepts three requests at a time: all questions are answered, and few requests are refused."""
    running = [0]
    refused: list[int] = []

    def crowded(handler: object, body: dict[str, object]) -> None:
        with server.lock:
            running[0] += 1
            now = running[0]
        try:
            if now > 3:
                refused.append(len(server.bodies))
                status(429, retry_after="0")(handler, body)  # type: ignore[arg-type]
            else:
                time.sleep(0.02)
                handler.send(completion(good(body)))  # type: ignore[attr-defined]
        finally:
            with server.lock:
                running[0] -= 1

    server.always = crowded
    (shell.folder / "labels.txt").write_text("".join(f"thing {i}\n" for i in range(30)))
    done = shell.mine(server, "--combinations", "100", "--concurrency", "16", "--retries", "50")
    assert done.code == 0, done.err
    assert refused
    assert len(refused) < len(server.bodies) / 3, f"{len(refused)} of {len(server.bodies)}"
