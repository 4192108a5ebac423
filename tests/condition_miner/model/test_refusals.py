"""What a server's refusal means: by its status and its words, wherever in the body they stand."""

from __future__ import annotations

from typing import Any

import pytest

from condition_miner.errors import MiningFailed
from condition_miner.model.backend import BadRequest, ContentRefused, RequestFailed, TransientFailure
from condition_miner.model.dialect import COMPLETION_TOKENS, NO_SYSTEM, Dialect, without_system
from condition_miner.model.refusals import error_in, failure
from condition_miner.model.replies import finish_reason, model_names, reply_to, stream_content
from condition_miner.model.untrusted import Unreadable, load_json

KINDS: list[tuple[int, Any, type[Exception]]] = [
    (400, {"error": {"message": "Your credit balance is too low to access the API."}}, MiningFailed),
    (400, {"error": {"code": "Arrearage", "message": "Access denied"}}, MiningFailed),
    (400, {"error": "Model is not loaded"}, MiningFailed),
    (400, {"detail": "model 'x' not found, try pulling it first"}, MiningFailed),
    (400, {"error": {"message": "Billing hard limit has been reached"}}, MiningFailed),
    (402, "", MiningFailed),
    (429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, MiningFailed),
    (429, {"error": {"message": "Rate limit reached"}}, TransientFailure),
    (503, {"error": {"message": "Loading model"}}, TransientFailure),
    (500, {"detail": "CUDA out of memory"}, TransientFailure),
    (500, {"error": {"message": "failed to compile grammar"}}, BadRequest),
    (400, {"error": {"code": "content_filter", "message": "filtered"}}, ContentRefused),
    (400, {"error": {"code": "data_inspection_failed", "message": "Input may be inappropriate."}}, ContentRefused),
    (403, {"error": {"message": "Input was flagged by moderation"}}, ContentRefused),
    (403, {"error": {"message": "Your key may not use this model"}}, MiningFailed),
    (400, {"error": {"message": "property 'seed' is unsupported"}}, BadRequest),
    (400, {"error": {"message": "This model's maximum context length is 4096 tokens"}}, BadRequest),
    (413, "too big", RequestFailed),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), KINDS)
def test_kinds_of_failure(status: int, body: Any, kind: type[Exception]) -> None:
    assert type(failure(status, body, "here")) is kind


def test_words_are_found_bounded_and_safe() -> None:
    body = {"object": "Error", "message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra \x1b[31m inputs" * 99}]}}
    said = str(failure(422, body, "here"))
    assert said.startswith("422 Extra [31m inputs")
    assert said.isprintable()
    assert len(said) < 400
    assert str(failure(502, "<html>a page</html>", "here")) == "502"


def test_gemini_says_in_the_body_how_long_to_wait() -> None:
    body = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Please retry in 34.5s."}}]
    found = failure(429, body, "here")
    assert isinstance(found, TransientFailure)
    assert found.retry_after == 34.5


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"error": {"message": "Rate limit", "code": 429}}, 429),
        ({"error": {"message": "x", "code": "502"}, "choices": None}, 502),
        ({"choices": [{"error": {"code": 503, "message": "x"}, "message": {"content": ""}}]}, 503),
        ({"error": "insufficient balance"}, 402),
        ({"message": "rate_limit_exceeded"}, 429),
        ({"error": {"message": "something"}}, 500),
    ],
)
def test_errors_in_the_body_of_a_200(content: Any, status: int) -> None:
    found = error_in(content)
    assert found is not None
    assert found[0] == status


def test_answers_are_no_errors() -> None:
    assert error_in({"choices": [{"message": {"content": "x"}}], "error": None}) is None
    assert error_in({"choices": []}) is None


@pytest.mark.parametrize(
    ("refusal", "change"),
    [
        ("Unknown name \"seed\": Cannot find field.", "seed"),
        ("Unsupported value: 'temperature' does not support 0 with this model.", "temperature"),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", COMPLETION_TOKENS),
        ("max_tokens must be at least 1024", "max_tokens"),
        ("System role not supported", NO_SYSTEM),
        ("Only user and assistant roles are supported!", NO_SYSTEM),
        ("Developer instruction is not enabled for models/gemma-3-27b-it", NO_SYSTEM),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", NO_SYSTEM),
        ("we proceed no further", None),
    ],
)  # fmt: skip
def test_what_a_refusal_names_is_left_out(refusal: str, change: str | None) -> None:
    found = Dialect().adapted(refusal)
    assert (found.changes if found else None) == ((change,) if change else None)
    if found:
        assert found.adapted(refusal) is None or change in ("max_tokens", COMPLETION_TOKENS)


def test_a_request_without_what_was_refused() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    body = {"model": "m", "messages": messages, "max_tokens": 5, "seed": 0, "logprobs": True}
    wire = Dialect(changes=(COMPLETION_TOKENS, NO_SYSTEM, "seed")).wire_body(body)
    told = [{"role": "user", "content": "Be brief.\n\nHello"}]
    assert wire == {"model": "m", "messages": told, COMPLETION_TOKENS: 5, "logprobs": True}
    assert "max_completion_tokens" not in Dialect(changes=(COMPLETION_TOKENS, "max_tokens")).wire_body(body)
    assert without_system(messages[1:]) == messages[1:]


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (None, "stop"), ("", "stop"), ("eos_token", "stop"), ("stop_sequence", "stop"), ("\x1b[31m", "stop"),
        ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"), ("SAFETY", "content_filter"),
        ("error", "error"),
    ],
)  # fmt: skip
def test_reasons_for_the_end(told: Any, meant: str) -> None:
    assert finish_reason(told) == meant


def test_an_answer_in_an_event_stream() -> None:
    events = "".join(f'data: {{"model": "m", "choices": [{{"delta": {{"content": "{part}"}}}}]}}\n\n' for part in "ab")
    assert reply_to({}, stream_content(events + "data: [DONE]\n\n")).text == "ab"
    with pytest.raises(Unreadable, match="the stream ends"):
        stream_content(events)


def test_absurd_counts_of_tokens_are_none() -> None:
    content = {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 10**80, "completion_tokens": -1}}
    reply = reply_to({}, content)
    assert (reply.tokens_in, reply.tokens_out) == (0, 0)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"data": [{"id": "a"}, {"id": "text-embedding-3"}]}, ["a"]),
        ({"models": [{"name": "m1"}]}, ["m1"]),
        ([{"id": "a/b"}, "c"], ["a/b", "c"]),
        ({"data": [{"id": "\x1b[31m"}, {"id": 3}, None]}, []),
        ({"detail": "no"}, None),
    ],
)
def test_lists_of_models(content: Any, names: list[str] | None) -> None:
    assert model_names(content) == names


def test_foreign_json() -> None:
    assert load_json(b'\xef\xbb\xbf: a comment\n\n{"a": "\\ud83d\\ude00 \\ud800 \\\\ud800"}') == {"a": "😀 � \\ud800"}
    for bad in (b"[" * 200_000, b"9" * 5000, b"<html>", b""):
        with pytest.raises(Unreadable):
            load_json(bad)
