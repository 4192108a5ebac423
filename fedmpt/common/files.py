"""Files that are replaced as a whole or not at all."""

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
"""How long a writer waits for another one."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other writer of a file out, in this process and in others. `path` is the lock's own file.

    Raises:
        TimeoutError: another writer holds it for longer than LOCK_SECONDS.
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


def replace(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash at any instant leaves the old one or the new one; its mode is kept.

    Raises:
        OSError: it cannot be written; the old file is untouched then.
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
    except OSError as error:  # a person knows the file, not the temporary one beside it
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def sweep(folder: Path, name: str = "*") -> None:
    """Remove what writers of a file that were killed left behind. Only for who holds the file's lock."""
    for leftover in folder.glob(f".{name if name == '*' else glob.escape(name)}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
