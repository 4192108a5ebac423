"""A running engine: started when the first question is to be sent, ended with the command that started it."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from condition_miner.errors import MinerError, MiningFailed
from condition_miner.model.address import LOCAL, Address
from condition_miner.model.untrusted import words
from condition_miner.serving import supervisor
from condition_miner.serving.engines import EngineProgram, ServedModel
from fedmpt.common.progress import Waiting

POLL_SECONDS = 0.2
HEALTH_SECONDS = 5.0
"""Time limit of asking an engine whether it is ready."""
ENDING_SECONDS = 5.0
"""For how long an engine that answers no more may take to end by itself."""
LAST_LINES = 3
"""Lines of the log that an error repeats."""
LOG_TAIL = 4000
"""Bytes of the log in which they are looked for."""


class Engine:
    """An engine with a model, on a free port of this machine that wants a key; a context manager.

    The key is new each time, and is passed in the environment. Where this process ends, by whatever signal, the engine
    ends, too (see `supervisor`).

    Args:
        program: the engine.
        model: what it serves.
        log: the file for what it prints; it is deleted if all went well.
        more: words to add to its command.

    Attributes:
        address: where it answers, with its key.

    Raises:
        MinerError: this system has no pipes that end a program.
    """

    def __init__(self, program: EngineProgram, model: ServedModel, log: Path, more: list[str]) -> None:
        if sys.platform == "win32":
            raise MinerError("--serve needs Linux or macOS; start the server yourself, and name it with --base-url")
        self.program, self.model, self.log, self._more = program, model, log, more
        self.address = Address(f"http://127.0.0.1:{_free_port()}/v1", LOCAL, secrets.token_urlsafe(32))
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        code = process.poll()
        if code is None and isinstance(error, MiningFailed) and not _healthy(self.address.port):
            with suppress(subprocess.TimeoutExpired):  # it is about to end
                code = process.wait(ENDING_SECONDS)
        self._close(process)
        if not isinstance(error, MiningFailed):
            self.log.unlink(missing_ok=True)
        elif code is not None:
            raise MiningFailed(f"{self._ended(code)}\n{error}") from error

    def start(self) -> None:
        """Start the engine, and wait until it answers; does nothing if it runs.

        Raises:
            MiningFailed: it ended before it answered.
        """
        if self._process is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)
        self.log.touch(mode=0o600)
        command = self.program.words(self.model, self.address.port, self._more)
        reading, self._lifeline = os.pipe()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", supervisor.__file__, *command],
                stdin=reading,
                stdout=log,
                stderr=log,
                env=self.program.environment(self.address.key or ""),
                start_new_session=True,
            )
        os.close(reading)
        self._wait(self._process)

    def _close(self, process: subprocess.Popen[bytes]) -> None:
        """End the engine, and wait until it has ended."""
        self._process = None
        os.close(self._lifeline)
        process.wait()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        waiting = Waiting(f"{self.program.kind} loads {words(self.model.name)}")
        while not _healthy(self.address.port):
            code = process.poll()
            if code is not None:
                waiting.end()
                self._close(process)
                raise MiningFailed(self._ended(code))
            waiting(words("".join(self._tail()[-1:]), 60))
            time.sleep(POLL_SECONDS)
        waiting.end(f"{self.program.kind} answers at {self.address.display}")

    def _ended(self, code: int) -> str:
        last = "".join(f"\n  {words(line)}" for line in self._tail()[-LAST_LINES:])
        return f"{self.program.kind} ended with exit code {code}; what it printed is in {self.log}{last}"

    def _tail(self) -> list[str]:
        """The last lines of the log that are not blank."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL))
            return [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]


def _healthy(port: int) -> bool:
    """Whether an engine has loaded its model."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}/health", timeout=HEALTH_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, HTTPException):
        return False


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
