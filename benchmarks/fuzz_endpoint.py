"""Fuzzes the client with random and mutated HTTP answers to each kind of request that mining sends.

    python benchmarks/fuzz_endpoint.py --seconds 120 [--seed 0]

Each example is a server whose answers are good ones with pieces replaced, bytes changed or headers of another kind.
Whatever it sends, nothing but a FedmptError may come out, and the cache may hold only answers that pass their check.
Prints the number of examples; exit code 1 and the smallest failing example if there is one.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import os
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from condition_miner.answers.cache import AnswerCache
from condition_miner.asking.asker import Asker
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.errors import MinerError
from condition_miner.model.address import Address
from condition_miner.model.dialect import dialect_from
from condition_miner.model.next_tokens import NextTokens, next_token_body
from condition_miner.model.probing import PROBE_PROMPT
from condition_miner.model.reading import InvalidAnswer
from condition_miner.model.resolving import offered_model
from condition_miner.settings import ServiceSettings
from condition_miner.stages.affinity.ways import parse_yes_no, yes_no_body
from condition_miner.stages.describe import answer_schema, parse_descriptions
from fedmpt.common.errors import FedmptError

SERVICE = ServiceSettings(retries=0, attempts=2, timeout=2, concurrency=2, longest_wait=0)
EXAMPLES = 50
"""Examples between two looks at the clock."""
MESSAGES = [{"role": "system", "content": "Describe."}, {"role": "user", "content": "cat"}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DESCRIPTIONS = json.dumps({"occasions": ["a", "b"], "descriptions": ["A cat in the rain.", "A cat on a sofa."]})
TOPS = [{"token": "yes", "logprob": -0.1}, {"token": " no", "logprob": -2.0}]


def chat(text: str, **choice: Any) -> dict[str, Any]:
    """A chat completion."""
    first = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, **choice}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [first], "usage": USAGE}


GOOD: dict[str, Any] = {
    "models": {"object": "list", "data": [{"id": "tiny", "object": "model"}]},
    "probe": chat('{"hue_code": "H1"}'),
    "chat": chat(DESCRIPTIONS),
    "yes-no": chat("yes", logprobs={"content": [{"token": "yes", "top_logprobs": TOPS}]}),
    "completion": {"choices": [{"index": 0, "text": " x", "logprobs": {"top_logprobs": [{" a": -1.0, " b": -2.0}]}}]},
}
"""A good answer to each kind of request."""
WORDS = (
    "stop", "length", "error", "seed", "temperature", "max_tokens", "system role not supported", "Insufficient Balance",
    "\ud800", "\x1b[31m", "\u202e", "NaN", "data: {}", "<think>", "</think>", "{", "[" * 3000, "9" * 5000, "1e999",
    DESCRIPTIONS, "content_filter", "model not found", "json_schema",
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=20), st.sampled_from(WORDS)
)
KEYS = ("error", "message", "code", "detail", "content", "text", "id")
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.sampled_from(
    (
        ("content-type", "text/html"), ("content-encoding", "gzip"), ("content-encoding", "br"), ("x", "y" * 70_000),
        ("retry-after", "Wed, 99 Foo"), ("retry-after", "0"), ("location", "http://127.0.0.1:9/"),
        ("retry-after", "1e999"),
        ("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), ("set-cookie", "a=b"),
    )
)  # fmt: skip
STATUSES = (
    200,
    200,
    200,
    200,
    204,
    301,
    307,
    400,
    401,
    402,
    403,
    404,
    405,
    408,
    413,
    422,
    429,
    451,
    500,
    501,
    503,
    529,
    999,
)


@dataclass(frozen=True)
class Wire:
    """An answer as it goes over the wire."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def raw(self) -> bytes:
        """The bytes."""
        lines = [
            f"HTTP/1.1 {self.status} X",
            "connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + self.body


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside a value."""
    yield at
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*at, key))


@st.composite
def answers(draw: st.DrawFn, kind: str) -> Wire:
    """An answer to one kind of request: a good one, changed in up to three places, or anything."""
    value = copy.deepcopy(GOOD[kind])
    for _ in range(draw(st.integers(0, 3))):
        *path, last = draw(st.sampled_from(list(places(value))[1:] or [("x",)]))
        holder = value
        for key in path:
            holder = holder[key]
        if isinstance(holder, list | dict):
            holder[last] = draw(VALUES)
    if draw(st.integers(0, 5)) == 0:
        value = draw(VALUES)
    body = json.dumps(value).encode()
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=8)) + body[at + draw(st.integers(0, 8)) :]
    if draw(st.integers(0, 7)) == 0:
        body = gzip.compress(body)
    if draw(st.integers(0, 7)) == 0:
        body = body[: draw(st.integers(0, len(body)))]
    headers = draw(st.lists(HEADERS, max_size=2))
    return Wire(draw(st.sampled_from(STATUSES)), tuple(headers), body)


class Server(socketserver.ThreadingTCPServer):
    """Answers each kind of request with the bytes of an example."""

    daemon_threads = True
    allow_reuse_address = True
    script: dict[str, Wire]

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are expected."""


class Handler(socketserver.StreamRequestHandler):
    """One request a connection."""

    server: Server

    def handle(self) -> None:
        """Read the request, find its kind, send the bytes."""
        line, length = self.rfile.readline(), 0
        while (header := self.rfile.readline().strip()) != b"":
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        body = json.loads(self.rfile.read(length) or b"{}")
        self.wfile.write(self.server.script[kind_of(line, body)].raw())


def kind_of(line: bytes, body: dict[str, Any]) -> str:
    """The kind of a request."""
    if line.startswith(b"GET"):
        return "models"
    if "prompt" in body:
        return "completion"
    if PROBE_PROMPT in str(body["messages"][-1]["content"]):
        return "probe"
    return "yes-no" if body.get("logprobs") else "chat"


@contextmanager
def serving() -> Iterator[Server]:
    """A running server."""
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def asked() -> list[list[CheckedQuestion]]:
    """A question of each kind."""
    from condition_miner.answers.records import Question

    form = {"type": "json_schema", "json_schema": {"name": "d", "strict": True, "schema": answer_schema(2)}}
    body = {"model": "tiny", "messages": MESSAGES, "temperature": 0.5, "seed": 0, "max_tokens": 50}
    describe = Question("describe", "local", {**body, "response_format": form}, "t")
    usual = Question("usual", "local", yes_no_body("tiny", MESSAGES, 0), "t")
    tokens = Question("next-token", "local", next_token_body("tiny", ["A cat"], 5), "")
    return [
        [CheckedQuestion(describe, lambda text: parse_descriptions(text, 2, True))],
        [CheckedQuestion(usual, parse_yes_no)],
        [CheckedQuestion(tokens, lambda text: NextTokens.parse(text, 1))],
    ]


def tried(server: Server, script: dict[str, Wire]) -> None:
    """Ask a question of each kind; raises AssertionError if the cache has what is no answer."""
    server.script = script
    address = Address.resolve(f"http://127.0.0.1:{server.server_address[1]}/v1")
    with tempfile.TemporaryDirectory() as folder, AnswerCache(Path(folder)) as cache:
        try:
            offered_model(cache, address, SERVICE)
        except FedmptError as error:
            clean(error)
        for questions in asked():
            asker = Asker(cache, address, SERVICE, False, lambda *_: None)
            try:
                asker.answers(questions)
            except FedmptError as error:
                clean(error)
        checks = {questions[0].question.stage: questions[0].check for questions in asked()}
        for key in cache.answer_keys():
            question, answer = cache.row(key)
            if question.stage == "probe":
                assert dialect_from(answer) is not None
                continue
            try:
                checks[question.stage](answer.text)
            except InvalidAnswer as error:
                raise AssertionError(f"the cache has what is no answer: {answer.text[:200]!r}") from error
        assert not cache.damaged


def clean(error: FedmptError) -> None:
    """An error is in words for people: bounded, and safe for a terminal."""
    assert isinstance(error, MinerError)
    said = str(error)
    assert len(said) < 2000, said[:200]
    assert all(line.isprintable() for line in said.splitlines()), repr(said[:200])


def main() -> None:
    """Fuzz for a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.pop("OPENAI_API_KEY", None)
    until, count, number = time.monotonic() + options.seconds, 0, options.seed
    with serving() as server:
        while time.monotonic() < until:

            @seeded(number)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )
            @given(script=st.fixed_dictionaries({kind: answers(kind) for kind in GOOD}))
            def one(script: dict[str, Wire]) -> None:
                tried(server, script)

            one()
            count, number = count + EXAMPLES, number + 1
    print(f"{count} examples in {options.seconds:g} s: nothing but errors in words, nothing but answers in the cache")


if __name__ == "__main__":
    main()
