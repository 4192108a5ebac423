"""Atomic writing and locking of files."""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fedmpt.common.errors import InputFileError

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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an OSError that names none, as errors of writing and flushing do."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


ADVICE = {
    errno.ENOSPC: "make room, or choose another folder",
    errno.EDQUOT: "make room, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EACCES: "choose another folder, or change its permissions",
    errno.EROFS: "choose another folder",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}
"""What to do, by the system's error number."""


def os_error_text(error: OSError) -> str:
    """An OSError as a message: what, where, what to do."""
    # All files that are written are named (`naming`), so what has no name is the output.
    places = [str(name) for name in (error.filename, error.filename2) if name is not None] or ["standard output"]
    advice = ADVICE.get(error.errno or 0)
    return f"{' → '.join(places)}: {error.strerror or error}" + (f"; {advice}" if advice else "")


def expanded(path: str | Path) -> Path:
    """A path with ~ and $VARIABLES expanded. Shells leave them in place in quotes, after = and in settings files.

    Raises:
        InputFileError: a variable that is not set.
    """
    text = os.path.expandvars(os.path.expanduser(os.fspath(path)))  # noqa: PTH111 (no Path expands variables)
    left = re.search(r"\$\{?(\w+)", text)
    if left and os.name != "nt" and not Path(text).exists():
        raise InputFileError(f"{path}: there is no environment variable {left[1]}")
    return Path(text)


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
