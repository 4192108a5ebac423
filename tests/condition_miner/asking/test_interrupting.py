"""Work that ends early loses nothing: Ctrl-C, kill -9 at any moment, a budget that is used up."""

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


def started(here: Shell, server: Server, requests: int) -> subprocess.Popen[str]:
    """The mining command in a process of its own, once the server has so many of its requests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "FEDMPT_"))}
    running = subprocess.Popen(
        [sys.executable, "-m", "fedmpt", "mine-conditions", "--labels", "labels.txt", *QUICK, "--base-url", server.url],
        cwd=here.folder,
        env={**kept, "FEDMPT_CACHE_DIR": str(here.folder / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while len(server.bodies) < requests and time.monotonic() < until:
        time.sleep(0.02)
    return running


def test_ctrl_c_waits_for_the_answers_under_way(here: Shell, server: Server) -> None:
    """Four requests are with the server, which is paid for all: their answers are kept, and no fifth one leaves."""
    server.delay = 1.0
    running = started(here, server, 4)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "waiting up to 10 s for 4 answers under way; Ctrl-C again ends at once" in said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert len(server.bodies) == 4
    with AnswerCache(here.folder / "cache") as cache:
        assert sum(n for origin, n in cache.counts().items() if origin.stage != "probe") == 4
    server.delay = 0.0
    sent = len(server.bodies)
    assert here.mine(server).code == 0
    assert server.bodies[sent]["messages"] not in [body["messages"] for body in server.bodies[:sent]]


def test_a_second_ctrl_c_ends_at_once(here: Shell, server: Server) -> None:
    server.always = hang
    running = started(here, server, 4)
    running.send_signal(signal.SIGINT)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said


def test_kill_at_50_random_moments(here: Shell, server: Server) -> None:
    """Every answer whose put() had returned is there, every row whole, and a bank there as a whole or not at all."""
    server.delay = 0.01
    ran = subprocess.run(
        [sys.executable, "-m", "tests.condition_miner.killing", server.url, str(KILLS), "7"],
        cwd=here.folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    counts = []
    for folder in sorted(here.folder.glob("killed-*")):
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


def test_a_budget_ends_the_run_and_the_next_one_goes_on(here: Shell, server: Server) -> None:
    """Each run stays within its budget, says what is missing, and asks nothing that an earlier one asked."""
    words = ("--budget-tokens", "3000", "--concurrency", "2", "--combinations", "40")

    def expensive(handler: object, body: dict[str, object]) -> None:
        reply = completion(good(body))
        reply["usage"] = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}
        handler.send(reply)  # type: ignore[attr-defined]

    server.always = expensive
    done = here.mine(server, *words)
    assert done.code == 1
    assert "the budget of 3000 tokens is used up" in done.err
    assert "stage describe lacks" in done.err
    first = len(server.bodies)
    assert 0 < 500 * first <= 3000
    assert here.mine(server, *words).code == 1
    asked = [json.dumps(body, sort_keys=True) for body in server.bodies]
    assert len(asked) > first
    assert len(set(asked)) == len(asked)
    runs = 2
    while here.mine(server, *words).code == 1 and runs < 60:
        runs += 1
    assert load(here.folder / "bank.json").bank.conditions


def test_a_budget_that_is_too_small_for_one_request(here: Shell, server: Server) -> None:
    done = here.mine(server, "--budget-tokens", "10")
    assert done.code == 1
    assert "used up (0 spent)" in done.err
    assert server.bodies == server.probes == []


def test_fewer_requests_at_once_where_the_server_is_overloaded(here: Shell, server: Server) -> None:
    """It takes three at a time and refuses the others; all questions are answered, with few refusals in the end."""
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
    (here.folder / "labels.txt").write_text("".join(f"thing {i}\n" for i in range(30)))
    done = here.mine(server, "--combinations", "100", "--concurrency", "16", "--retries", "50")
    assert done.code == 0, done.err
    assert refused
    assert len(refused) < len(server.bodies) / 3, f"{len(refused)} of {len(server.bodies)}"
