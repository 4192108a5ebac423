"""What the miner's client costs beside the requests themselves.

    python benchmarks/mining_throughput.py            # all three
    python benchmarks/mining_throughput.py client     # 1,000 requests, 64 at once, against a bare AsyncOpenAI loop
    python benchmarks/mining_throughput.py warm       # 10,000 answers out of the cache
    python benchmarks/mining_throughput.py memory     # 1,000 labels, 10,000 descriptions: the whole command

The server answers after 50 ms and runs in a process of its own. Ours and the bare loop take turns, three times each;
the best of each counts. Ours writes every answer into a new cache, and its probe is one request more.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Answer, Question
from condition_miner.asking.asker import Asker
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.model.address import Address
from condition_miner.model.dialect import PROBE_CODES, PROBE_PROMPT
from condition_miner.model.reading import parse
from condition_miner.settings import ServiceSettings

REQUESTS, CONCURRENCY, DELAY = 1000, 64, 0.05
ROUNDS = 3
WARM = 10_000
LABELS, COMBINATIONS, CAPTIONS = 1000, 3334, 3

TEXTS = [f"In scene {i} a cat sleeps on the sofa beside a lamp while a person reads at the window." for i in range(3)]
ANSWER = json.dumps({"reasoning": "They share a living room.", "descriptions": TEXTS})


def questions(many: int) -> list[CheckedQuestion]:
    """Questions like those of stage describe, all different."""
    form = {"type": "object", "properties": {"descriptions": {"type": "array", "items": {"type": "string"}}}}
    system = "You describe photographs. " * 12
    checked_questions = []
    for number in range(many):
        body = {
            "model": "m",
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": f"{system}<data>{number}</data>"},
            ],
            "temperature": 0.8,
            "seed": 0,
            "max_tokens": 500,
            "response_format": {"type": "json_schema", "json_schema": {"name": "d", "strict": True, "schema": form}},
        }
        checked_questions.append(CheckedQuestion(Question("describe", "local", body, "t"), parse))
    return checked_questions


def reply(text: str) -> bytes:
    """A completion as it goes over the wire."""
    content = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 80, "total_tokens": 280},
    }
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server(asyncio.Protocol):
    """As little of HTTP/1.1 as a client with kept connections needs; each answer after the delay."""

    ANSWERED, PROBED = reply(ANSWER), reply(json.dumps({"hue_code": PROBE_CODES[0]}))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.transport, self.content = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answers every request that is whole."""
        self.content += data
        while (end := self.content.find(b"\r\n\r\n") + 4) > 3:
            head = self.content[:end].lower()
            end += int(head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
            if len(self.content) < end:
                return
            request, self.content = self.content[:end], self.content[end:]
            told = self.PROBED if PROBE_PROMPT.encode() in request else self.ANSWERED
            asyncio.get_running_loop().call_later(DELAY, self.answer, told)

    def answer(self, told: bytes) -> None:
        """Sends an answer."""
        if not self.transport.is_closing():
            self.transport.write(told)  # type: ignore[attr-defined]


async def serve() -> None:
    """The server's process: prints its port."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def served() -> Iterator[str]:
    """The base URL of a running server."""
    process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait()


def bare(url: str, checked_questions: list[CheckedQuestion]) -> float:
    """Seconds that a plain loop over the client takes."""
    from openai import AsyncOpenAI

    async def run() -> None:
        gate = asyncio.Semaphore(CONCURRENCY)
        async with AsyncOpenAI(base_url=url, api_key="x") as client:

            async def one(body: dict[str, Any]) -> None:
                async with gate:
                    await client.chat.completions.create(**body)

            await asyncio.gather(*[one(checked.question.body) for checked in checked_questions])

    began = time.perf_counter()
    asyncio.run(run())
    return time.perf_counter() - began


def ours(url: str, checked_questions: list[CheckedQuestion]) -> float:
    """Seconds that the miner's client takes, with a new cache."""
    with tempfile.TemporaryDirectory() as folder, AnswerCache(Path(folder)) as cache:
        service = ServiceSettings(concurrency=CONCURRENCY)
        asker = Asker(cache, Address(url, "local"), service, False, lambda *_: None)
        began = time.perf_counter()
        found = asker.answers(checked_questions)
        took = time.perf_counter() - began
        assert len(found) == len(checked_questions) == len(cache) - 1
        assert asker.sent == len(checked_questions) + 1
    return took


def client() -> None:
    """The ratio of the two."""
    checked_questions = questions(REQUESTS)
    with served() as url:
        bare(url, checked_questions[:CONCURRENCY])
        ours(url, questions(CONCURRENCY))
        times: dict[str, list[float]] = {"bare": [], "ours": []}
        for _ in range(ROUNDS):
            times["bare"].append(bare(url, checked_questions))
            times["ours"].append(ours(url, questions(REQUESTS)))
    for name, measured in times.items():
        print(f"{name:<5} best {min(measured):.2f} s of {', '.join(f'{t:.2f}' for t in measured)}")
    print(f"ratio {min(times['ours']) / min(times['bare']):.3f} (wanted: at most 1.15)")


def warm() -> None:
    """Opening a cache of many answers and taking all of them out of it."""
    checked_questions = questions(WARM)
    with tempfile.TemporaryDirectory() as folder:
        with AnswerCache(Path(folder)) as cache:
            for checked in checked_questions:
                cache.put(checked.question, Answer(ANSWER, "stop", 200, 80, 1, "2026-01-01T00:00:00Z"))
        checked_questions = questions(WARM)
        began = time.perf_counter()
        with AnswerCache(Path(folder)) as cache:
            origins = cache.origins()
            asker = Asker(cache, Address("local", "local"), ServiceSettings(), True, lambda *_: None)
            found = asker.answers(checked_questions)
        took = time.perf_counter() - began
        assert origins == [("local", "m")]
        assert len(found) == WARM
    print(f"warm  {WARM} answers in {took:.2f} s (wanted: under 10)")


def memory() -> None:
    """The peak of the whole command, against the tests' scripted server, cold and then warm."""
    from tests.condition_miner.server import edited, serving

    numbers = count()
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        # Without it the descriptions were alike, and equal questions are asked once.
        server.always = edited(lambda good: good.replace("In place ", f"In place {next(numbers)} "))
        labels = Path(folder) / "labels.txt"
        labels.write_text("".join(f"object {number}\n" for number in range(LABELS)))
        command = [sys.executable, "-m", "fedmpt", "mine-conditions", "--labels", str(labels), "--base-url", server.url]
        command += ["--stages", "describe,explain,abstract,attribute,measure"]
        command += ["--combinations", str(COMBINATIONS), "--captions", str(CAPTIONS), "--concurrency", "16"]
        for name in ("cold", "warm"):
            began = time.perf_counter()
            subprocess.run([*command, "--cache-dir", folder, "--out", f"{folder}/{name}.json"], check=True)
            took = time.perf_counter() - began
            captions = len(json.loads(Path(f"{folder}/{name}.json").read_text())["captions"])
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"memory ({name}): {captions} descriptions of {LABELS} labels in {took:.0f} s, peak {peak:.0f} MB")
            print("(wanted: under 300 MB)")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        for wanted in sys.argv[1:] or ["client", "warm", "memory"]:
            {"client": client, "warm": warm, "memory": memory}[wanted]()
