"""Runs a program, and ends it and all that it started when standard input closes.

    python supervisor.py PROGRAM WORD…

Standard input is a pipe that the starting process holds open: however that process ends, by kill -9 too, the pipe
closes. This file is run by itself, so it imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 10.0
"""For how long a program may put its things in order before it is killed."""
POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
"""Of Linux's prctl(2)."""


def main(words: list[str]) -> int:
    """Run the program; the exit code is the program's, or 128 and its signal's number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # orphans of the program become children of this process
    parent = os.getpid()

    def end_with_supervisor() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    try:
        program = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_supervisor,  # noqa: PLW1509  (no threads here)
        )
    except OSError as error:
        sys.stderr.write(f"{words[0]}: cannot be started ({error.strerror})\n")
        return 126
    signal.signal(signal.SIGTERM, lambda *_: os.close(sys.stdin.fileno()))
    while program.poll() is None and not _closed():
        pass
    _end(program)
    code = program.returncode
    return code if code >= 0 else 128 - code


def _closed() -> bool:
    """Whether standard input has closed, after a short wait for it."""
    try:
        ready, _, _ = select.select([0], [], [], POLL_SECONDS)
        return bool(ready) and not os.read(0, 4096)
    except OSError:
        return True


def _end(program: subprocess.Popen[bytes]) -> None:
    """End the program's group, kindly at first, then whatever descendants are left."""
    _signal_group(program.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    while program.poll() is None and time.monotonic() < until:
        time.sleep(POLL_SECONDS / 2)
    _signal_group(program.pid, signal.SIGKILL)
    program.wait()
    while left := _children():
        for child in left:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _children() -> list[int]:
    """This process's children; none where the system doesn't tell."""
    try:
        return [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
