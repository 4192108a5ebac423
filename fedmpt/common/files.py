"""Atomic writing and locking of files."""

from __future__ import annotations

import errno
import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_SECONDS = 30.0
"""How long to wait for a lock."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, against other threads and processes. `path` is the lock file.

    Raises:
        TimeoutError: another writer held the lock for LOCK_SECONDS.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        message = f"another process has held this lock for {LOCK_SECONDS:.0f} s; wait for it and repeat"
        raise TimeoutError(errno.ETIMEDOUT, message, str(path)) from error
    try:
        yield
    finally:
        lock.release()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a crash at any time leaves the old or the new content. The file mode is kept.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except OSError as error:  # name the file that the user knows, not the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove temporary files that killed writers left behind. Call it only while holding the lock."""
    for leftover in folder.glob(f".{name if name == '*' else glob.escape(name)}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
