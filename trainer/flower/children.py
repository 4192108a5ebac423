"""Flower's programs as children of this process, which end with it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import RunFailed
from trainer.flower.installed import QUIET

SETTINGS = {
    **QUIET,
    # Otherwise each run makes an environment of its own from the package index.
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    # Seconds between two looks for work on this machine; 1 by default, several times a message.
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    "PYTHONUNBUFFERED": "1",
}
PROGRAMS = Path(__file__).parent / "bin"
"""Programs that Flower's programs start: in the way of `trainer.flower.program`."""
GRACE = 10.0
"""Seconds that a program has to end after it was asked to."""


def start(words: Sequence[str], log: Path, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start one of Flower's programs.

    Args:
        words: its name and arguments.
        log: what it says is appended to this file.
        extra: environment variables.
    """
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "trainer.flower.program", *words],
            env=environment(extra),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=END_WITH_PARENT,  # noqa: PLW1509
        )


def program(name: str) -> str:
    """The path of a program of this installation."""
    return str(Path(sys.executable).parent / name)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of Flower's programs, which start each other by name."""
    path = os.pathsep.join([str(PROGRAMS), str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **SETTINGS, "PATH": path, "FEDMPT_PYTHON": sys.executable, **(extra or {})}


def end(child: subprocess.Popen[bytes]) -> None:
    """End a program, kindly first."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Have SIGTERM end this process as an interrupt does, so that its children are ended and its files removed."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def last_words(log: Path, count: int = 5) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.exists() else ""


COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def complaint(log: Path, since: int) -> str:
    """Why a program says that it ended, or its last words.

    Args:
        log: what it says.
        since: bytes of the log that are older.
    """
    with log.open("rb") as file:
        file.seek(since)
        said = COLOUR.sub("", file.read().decode(errors="replace"))
    _, mark, why = said.partition("Exit Code: ")
    return " ".join(why.split("\n\n")[0].split()) if mark else "\n".join(said.splitlines()[-5:])


def refuse_taken(address: str) -> None:
    """Raise if somebody listens at an address.

    Raises:
        RunFailed: somebody does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return
    raise RunFailed(f"{address}: another program listens there; end it, or give another port in server.toml")


def _end_with_parent() -> None:
    """Killed, not asked to end: that can take a SuperLink for ever, while its server app holds the run."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

END_WITH_PARENT = _end_with_parent if sys.platform == "linux" else None
"""For a child's `preexec_fn`. Safe with threads: it makes one system call."""
