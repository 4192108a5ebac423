"""A server of the review page in this process, and requests to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from prompt_bank.recording.store import record
from prompt_bank.review.server import application
from prompt_bank.review.session import Session
from prompt_bank.schema import Caption, Condition, Dependency
from tests.prompt_bank.banks import good

TOKEN = "a-token-of-the-test"
PAGE = "0" * 32
"""The id of a draft."""


class Server:
    """A running server, and requests as its page sends them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.own = {"Authorization": f"Bearer {TOKEN}", "Origin": f"http://127.0.0.1:{port}"}
        self.url = f"http://127.0.0.1:{port}/#{TOKEN}"

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send any request; returns status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def ask(self, path: str, content: Any = None) -> tuple[int, Any]:
        """Send a request of the page; returns status and JSON."""
        body = None if content is None else json.dumps(content).encode()
        status, _, answer = self.send("GET" if body is None else "POST", f"/api/{path}", body, self.own)
        return status, json.loads(answer)

    def good(self, path: str, content: Any = None) -> Any:
        """Send a request of the page that must succeed; returns the JSON."""
        status, answer = self.ask(path, content)
        assert status == 200, answer
        return answer


@contextmanager
def served(path: Path, by: str = "ada") -> Iterator[Server]:
    """A server for a bank file."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(application(Session(path, by), TOKEN), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield Server(listening.getsockname()[1])
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def recorded(folder: Path) -> Path:
    """The file of a recorded bank with three conditions, two captions and two dependencies."""
    bank = good()
    captions = (*bank.captions, Caption(id="cap-0002", labels=("cat", "potted plant"), text="Cats by a potted plant."))
    conditions = (
        *bank.conditions,
        Condition(id="lighting", text="lighting", definition="Where the light comes from.", evidence=("cap-0002",)),
    )
    dependencies = (
        *bank.dependencies,
        Dependency(labels=("cat", "potted plant", "sofa"), conditions=("pose", "lighting"), evidence=("cap-0002",)),
    )
    labels = (*bank.labels, bank.labels[0].model_copy(update={"name": "sofa", "aliases": ()}))
    changes = {"labels": labels, "conditions": conditions, "dependencies": dependencies, "captions": captions}
    path = folder / "bank.json"
    record(bank.model_copy(update=changes), path, by="miner", did="mined")
    return path


def edits(base: str, *operations: dict[str, Any], page: str = PAGE, **more: Any) -> dict[str, Any]:
    """The request body of a page: its edits on a base."""
    return {"id": page, "base": base, "operations": list(operations), **more}


def messages(answer: dict[str, Any]) -> str:
    """The messages of all problems in one line."""
    return "; ".join(f"{problem['place']}: {problem['message']}" for problem in answer["problems"])
