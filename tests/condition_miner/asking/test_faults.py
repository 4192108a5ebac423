"""Faults of an endpoint: transient ones are retried, permanent ones reported in one line, and no answer is lost."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from condition_miner.answers.cache import AnswerCache
from condition_miner.model.endpoint import retry_after
from prompt_bank.recording.store import load
from tests.condition_miner.server import (
    Fault,
    Server,
    edited,
    hang,
    html,
    no_choices,
    no_message,
    reset,
    status,
    text,
    trickle,
)
from tests.condition_miner.shell import Shell

DESCRIBE_QUESTIONS = 4
"""Questions of the first stage."""

TRANSIENT: dict[str, Fault] = {
    "429, Retry-After 0": status(429, retry_after="0"),
    "429, Retry-After 1": status(429, retry_after="1"),
    "429, Retry-After a date": status(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
    "429, Retry-After garbage": status(429, retry_after="soon"),
    "500": status(500),
    "503": status(503),
    "reset in mid-body": reset,
    "length": edited(lambda good: good[:20], "length"),
    "length, but whole JSON": edited(lambda good: good, "length"),
    "content filter": edited(lambda good: good, "content_filter"),
    "wrong schema": text('{"something": "else"}'),
    "prose": text("Sure! Here are the descriptions."),
    "duplicate keys": edited(lambda good: good[:-1] + ', "x": "again", "x": "twice"}'),
    "NaN": text('{"reasoning": NaN, "descriptions": []}'),
    "a flood of white space": text(" \n" * 20_000, "length"),
    "an empty answer": text(""),
    "null content": text(None),
    "only reasoning, until the room was used up": text(None, "length", reasoning_content="hm"),
    "a refusal": text(None, refusal="I cannot"),
    "a description in another script": edited(lambda good: good.replace("In place", "在")),
}


@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
def test_transient_faults_are_retried(shell: Shell, server: Server, fault: Fault) -> None:
    """After a single fault the bank is complete, and no failure is cached."""
    server.faults = [fault]
    done = shell.mine(server)
    assert done.code == 0, done.err
    assert len(load(shell.folder / "bank.json").bank.captions) == 8
    with AnswerCache(shell.folder / "cache") as cache:
        assert cache.failures() == []


def test_a_hanging_and_a_trickling_server(shell: Shell, server: Server) -> None:
    """The time limit applies to the whole answer, not to each read."""
    server.faults = [hang, trickle]
    done = shell.mine(server, "--timeout", "0.5")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    "wrap",
    [
        "```json\n{}\n```",
        "<think>well, { I </think>\n{}",
        "well, the prompt opened it </think>{}",
        "Here you are:\n```\n{}\n```\nBye!",
    ],
)
def test_text_around_the_json_is_removed(shell: Shell, server: Server, wrap: str) -> None:
    server.always = edited(lambda good: wrap.replace("{}", good, 1))
    done = shell.mine(server)
    assert done.code == 0, done.err


PERMANENT: dict[str, tuple[Fault, str]] = {
    "HTML with 200": (html, "is it an OpenAI-compatible endpoint?"),
    "no JSON with 200": (lambda handler, body: handler.send("{", 200), "not JSON"),
    "no choices": (no_choices, "no choices"),
    "no message": (no_message, "no message"),
    "content that is no text": (lambda h, b: h.send({"choices": [{"message": {"content": [1]}}]}), "no text"),
    "null content": (text(None), "finish_reason no content"),
    "a refusal": (text(None, refusal="I cannot"), "declined"),
    "length": (text('{"reasoning": "', "length"), "finish_reason length"),
    "wrong schema": (text("{}"), "no valid answer in 5 attempts"),
    "401": (status(401), "OPENAI_API_KEY"),
    "403": (status(403), "OPENAI_API_KEY"),
    "404": (status(404), "check --model"),
    "400": (status(400), "400 status 400"),
    "413": (status(413), "413 status 413"),
    "429 for good": (status(429), "429 status 429"),
    "429, Retry-After 3600": (status(429, retry_after="3600"), "asks to wait 3600 s"),
    "500 for good": (status(500), "500 status 500"),
}


@pytest.mark.parametrize("probing", [False, True], ids=["questions", "probe"])
@pytest.mark.parametrize("name", PERMANENT)
def test_permanent_faults_are_reported_in_one_line(shell: Shell, server: Server, name: str, probing: bool) -> None:
    """No traceback, no key, no bank; also if the first request, the probe, has the fault."""
    server.always, said = PERMANENT[name]
    if probing:
        server.probing = server.always
    done = shell.mine(server, "--retries", "1", OPENAI_API_KEY="sk-very-secret")
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert "sk-very-secret" not in done.err + done.out
    assert not (shell.folder / "bank.json").exists()


def test_no_server(shell: Shell) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    for named in ((), ("--model", "m")):
        done = shell.mine(None, "--base-url", url, *named)
        assert done.code == 1
        assert f"{url}: no server answers there" in done.err


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://[::1", "http://x:port/v1", ""])
def test_invalid_base_urls(shell: Shell, url: str) -> None:
    done = shell.mine(None, "--base-url", url or "http://", "--model", "m")
    assert done.code == 2
    assert "http://HOST:PORT/v1" in done.err


def test_a_remote_endpoint_needs_a_key(shell: Shell) -> None:
    done = shell.mine(None, "--base-url", "https://user:secret@example.invalid/v1", "--model", "m")
    assert done.code == 2
    assert "https://example.invalid/v1 wants a key: set OPENAI_API_KEY" in done.err
    assert "secret" not in done.err


def test_unanswerable_questions_are_remembered_and_not_sent_again(shell: Shell, server: Server) -> None:
    server.faults = [text(None, refusal="no")] * 5
    done = shell.mine(server, "--concurrency", "1", "--max-failed", "0")
    assert done.code == 1
    reason = "no valid answer in 5 attempts (the model declined to answer)"
    told = f"1 of 4 questions of stage describe failed, and are remembered (fedmpt cache info lists them): 1 × {reason}"
    assert f"{told} (sofa + person)" in done.err
    sent = len(server.bodies)
    assert sent == 5 + DESCRIBE_QUESTIONS - 1

    done = shell.mine(server, "--max-failed", "0")
    assert done.code == 1
    assert f"{told} (sofa + person)" in done.err
    assert "--retry-failed asks them again, or go on without them: --max-failed 0.25" in done.err
    assert len(server.bodies) == sent
    assert reason in shell.run("cache", "info").out
    assert [f["reason"] for f in json.loads(shell.run("cache", "info", "--json").out)["failed"]] == [reason]

    assert shell.mine(server, "--retry-failed").code == 0
    seeds = [body["seed"] for body in server.bodies if body["messages"][1] == server.bodies[0]["messages"][1]]
    assert seeds == [0, 1, 2, 3, 4, 5], "the same seed would fail the same way"
    assert json.loads(shell.run("cache", "info", "--json").out)["failed"] == []
    assert shell.mine(server, "--offline").code == 0


def test_the_next_run_retries_transient_failures(shell: Shell, server: Server) -> None:
    server.faults = [status(503)]
    done = shell.mine(server, "--retries", "0", "--concurrency", "1")
    assert done.code == 1
    assert "1 of 4 questions of stage describe failed: 1 × 503 status 503 (sofa + person)" in done.err
    sent = len(server.bodies)
    assert shell.mine(server).code == 0
    assert server.bodies[sent] == server.bodies[0]


def test_consecutive_failures_end_the_run(shell: Shell, server: Server) -> None:
    server.always = status(500)
    done = shell.mine(server, "--combinations", "40", "--retries", "0", "--concurrency", "2")
    assert done.code == 1
    assert "10 requests in a row failed" in done.err
    assert len(server.bodies) <= 12


def test_a_truncated_answer_is_retried_with_a_higher_limit_and_never_used(shell: Shell, server: Server) -> None:
    server.always = edited(lambda good: good, "length")
    done = shell.mine(server, "--combinations", "1")
    assert done.code == 1
    first = server.bodies[0]["max_tokens"]
    assert [body["max_tokens"] for body in server.bodies] == [first, 2 * first, 4 * first, 4 * first, 4 * first]
    assert shell.mine(server, "--offline").code != 0


def test_an_invalid_answer_is_retried_with_feedback(shell: Shell, server: Server) -> None:
    server.faults = [text("<think>secret thoughts</think>no JSON")]
    assert shell.mine(server, "--concurrency", "1").code == 0
    talk = server.bodies[1]["messages"]
    assert [message["role"] for message in talk] == ["system", "user", "assistant", "user"]
    assert talk[2]["content"] == "no JSON"
    assert "cannot be used: there is no JSON in the answer" in talk[3]["content"]
    assert talk[:2] == server.bodies[0]["messages"]


def test_a_repeatedly_invalid_answer_is_retried_with_other_seeds(shell: Shell, server: Server) -> None:
    """Alternately with and without feedback, each time with another seed and a temperature of at least 0.5."""
    server.faults = [text('{"occasions": [], "descriptions": []}')] * 4
    assert shell.mine(server, "--concurrency", "1", "--combinations", "1").code == 0
    tries = server.bodies[:5]
    assert [len(body["messages"]) for body in tries] == [2, 4, 2, 4, 2]
    assert [body["seed"] for body in tries] == [0, 1, 2, 3, 4]
    assert all(body["temperature"] >= 0.5 for body in tries)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0", 0.0), ("5", 5.0), ("2.5", 2.5), ("-3", 0.0), ("soon", None), ("", None), ("nan", None), ("1e999", None)],
)
def test_retry_after(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said}) == seconds


def test_retry_after_as_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    seconds = retry_after({"retry-after": soon})
    assert seconds is not None
    assert 85 < seconds <= 90
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "Wed, 99 Foo 2015"}) is None
