"""Commands as processes, some of which stay until the end of a test."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 300.0
"""Seconds; a shared machine can be slow."""


def free_port() -> int:
    """Of two neighbouring ports that are free, the first."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


class Processes:
    """Commands in a folder; those that are left are ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen[bytes]]()
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "FEDMPT_CACHE_DIR": str(folder / "cache")}

    def run(self, command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run `fedmpt …` to its successful end."""
        words, where = self._words(command), cwd or self.folder
        done = subprocess.run(words, cwd=where, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, command + "\n" + done.stdout + done.stderr
        return done

    def start(self, command: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start `fedmpt …`."""
        with (self.folder / f"{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                self._words(command), cwd=cwd or self.folder, env=self.environment, stdout=log, stderr=log
            )
        self.started.append(process)
        return process

    def logs(self) -> str:
        """What the started commands said."""
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log")))

    def wait_for_port(self, port: int) -> None:
        """Until somebody listens there."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                assert time.monotonic() < ends, self.logs()
                time.sleep(0.2)
            else:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in self.started:
            process.send_signal(signal.SIGTERM)
        for process in self.started:
            process.wait(60)

    @staticmethod
    def _words(command: str) -> list[str]:
        words = shlex.split(command)
        assert words[0] == "fedmpt"
        return [sys.executable, "-m", *words]
