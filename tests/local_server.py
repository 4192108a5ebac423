"""A server of a local page in this process, and requests to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

TOKEN = "a-token-of-the-test"


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
def serving(application: ASGIApp) -> Iterator[Server]:
    """A server of an application whose token is TOKEN."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(application, log_level="warning", lifespan="off")
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
