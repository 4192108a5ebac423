"""A server of a local page, in this process or as a command, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
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


@contextmanager
def running_command(
    words: Sequence[str], folder: Path, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """The process of `fedmpt WORDS` in a folder, once it has printed its address; its port and its token."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fedmpt", *words],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/#(\S{40,})", line):
                yield process, int(found[1]), found[2]
                return
        raise AssertionError(f"no address was printed: {process.communicate()}")
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and outputs after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err
