"""Leases: which process works on which cell, in a folder that several processes and machines may share.

NAME.lease holds host, process and a token, and its modification time is the last heartbeat. It is created
exclusively, renewed by a thread, and removed at the end. The lease of a process that is gone may be taken over: at once
if it was on this host, otherwise after STALE seconds without a heartbeat. Times are compared on the clock of the
folder's own file system, so machines whose clocks differ agree.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedmpt.common.files import locked, naming

BEAT = 10.0
"""Seconds between two heartbeats."""
STALE = 120.0
"""Seconds without a heartbeat after which another process may take the cell."""


class Holder(BaseModel):
    """The content of a lease."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    host: str = Field(max_length=1000)
    pid: int = Field(gt=0)
    token: str = Field(max_length=100)


@dataclass
class Lease:
    """A lease that this process holds.

    Attributes:
        path: of its file.
        holder: this process.
        lost: set once another process has taken it over, because this one was suspended for instance.
    """

    path: Path
    holder: Holder
    lost: threading.Event

    @contextmanager
    def kept(self, beat: float = BEAT) -> Iterator[None]:
        """Renew the lease within the context; at its end, remove it.

        Args:
            beat: seconds between two heartbeats.
        """
        done = threading.Event()

        def renew() -> None:
            while not done.wait(beat):
                if _read(self.path) != self.holder:
                    self.lost.set()
                    return
                try:
                    os.utime(self.path)
                except OSError:  # the share is away; if it stays so, the lease becomes stale
                    continue

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with locked(_guard(self.path)):
                if _read(self.path) == self.holder:
                    self.path.unlink(missing_ok=True)


def claim(path: Path, stale: float = STALE) -> Lease | None:
    """Take a lease, also one whose holder is gone.

    Args:
        path: of its file; the folder exists.
        stale: seconds without a heartbeat after which a holder counts as gone.

    Returns:
        The lease; None if another process holds it.

    Raises:
        OSError: the folder cannot be written.
    """
    with locked(_guard(path)):
        if path.exists() and not _abandoned(path, stale):
            return None
        path.unlink(missing_ok=True)
        holder = Holder(host=this_host(), pid=os.getpid(), token=secrets.token_hex(16))
        with naming(path), path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(holder.model_dump()))
            file.flush()
            os.fsync(file.fileno())
    return Lease(path, holder, threading.Event())


def holder_of(path: Path, stale: float = STALE) -> Holder | None:
    """Who holds a lease; None if nobody does, or its holder is gone."""
    return _read(path) if path.exists() and not _abandoned(path, stale) else None


def this_host() -> str:
    """Names the machine since its last start, and the process namespace: where a pid means the same process."""
    parts = [socket.gethostname()]
    for name in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(str(Path(name).stat().st_ino) if name.endswith("/pid") else Path(name).read_text().strip())
        except OSError:  # not Linux
            continue
    return " ".join(parts)


def _guard(path: Path) -> Path:
    # One lock for all cells of a folder: a take-over checks and replaces the file, which no single call does.
    return path.parent / ".leases.lock"


def _abandoned(path: Path, stale: float) -> bool:
    holder = _read(path)
    if holder is not None and holder.host == this_host() and not _alive(holder.pid):
        return True
    try:
        return _now(path.parent) - path.stat().st_mtime > stale
    except FileNotFoundError:
        return True


def _read(path: Path) -> Holder | None:
    """The holder; None if the file is missing, or damaged."""
    try:
        return Holder.model_validate_json(path.read_bytes(), strict=True)
    except (OSError, ValidationError):
        return None


def _alive(pid: int) -> bool:
    if os.name == "nt":  # where os.kill would end the process; its heartbeat tells
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now(folder: Path) -> float:
    """The time on the clock of the folder's file system."""
    path = folder / f".clock.{secrets.token_hex(8)}.tmp"
    try:
        path.touch()
        return path.stat().st_mtime
    finally:
        path.unlink(missing_ok=True)
