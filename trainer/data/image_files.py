"""The image files of a data set: loading on demand, and examination of all files before training."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from fedmpt.common.files import write_atomically
from trainer.data.images import READING, UnreadableImage, check_pixels, read_image

THREADS = 4
REPORT_EVERY = 256
"""Images between two progress reports."""

SETTLED_NS = 2_000_000_000
"""A file changed more recently is read again next time: it could change once more within its clock's resolution."""

MAX_NAME_BYTES = 255
"""The longest name of a file or folder on all common file systems."""

Progress = Callable[[int, int], None]

IndexRow = tuple[str, str, str | None, float]
"""Stamp, content, reason and aspect, see `_stamp` and `Examined`."""


@dataclass(frozen=True)
class ImageFiles:
    """Loads the image at an index; picklable.

    Attributes:
        root: the data root.
        paths: n paths relative to it, with forward slashes.
    """

    root: Path
    paths: tuple[str, ...]

    def __call__(self, index: int) -> Image.Image:
        """The RGB image at an index."""
        return read_image(self.root / self.paths[index])


@dataclass(frozen=True)
class Examined:
    """What reading an image file found.

    Attributes:
        content: sha256 of the file's bytes; "" if it is missing.
        reason: why it cannot be used: missing, not an image, truncated, too large …; None if it can.
        aspect: the longer side over the shorter; 1 if it cannot be used.
    """

    content: str
    reason: str | None
    aspect: float = 1.0


def path_problem(path: str) -> str | None:
    """Why a path that was read from a file cannot be an image's below the data root; None if it can."""
    pure = PurePosixPath(path.replace("\\", "/"))
    if not pure.parts:
        return "is empty"
    drive = ":" in path if os.name == "nt" else re.match(r"[A-Za-z]:", path)
    if pure.is_absolute() or ".." in pure.parts or drive:
        return "must lie below the data's folder"
    if any(sign < " " or sign == "\x7f" for sign in path):
        return "has a control character"
    if any("\ud800" <= sign <= "\udfff" for sign in path):
        return "has half of a surrogate pair, which is no character"
    if max(len(part.encode()) for part in pure.parts) > MAX_NAME_BYTES:
        return f"has a name of more than {MAX_NAME_BYTES} bytes, which no file can have"
    return None


def examine_images(
    root: Path, paths: Sequence[str], cache: Path | None = None, progress: Progress | None = None
) -> dict[str, Examined]:
    """Read every image file: its content's hash, and whether it can be used.

    The cache keeps an index of the results. A file is read again if its size, a time stamp or its inode changed, or if
    it was examined within SETTLED_NS of its last change.

    Args:
        root: the data root.
        paths: of the images, relative to it.
        cache: the cache folder; None: no index.
        progress: called with (images done, total).
    """
    index = _index_file(cache, root) if cache is not None else None
    known = _read_index(index)
    stamps = {path: _stamp(root / path) for path in paths}
    found = {
        path: Examined(*known[path][1:])
        for path in paths
        if stamps[path] and known.get(path, (None,))[0] == stamps[path]
    }
    unread = [path for path in paths if path not in found]
    with ThreadPoolExecutor(THREADS) as pool:
        for done, (path, state) in enumerate(
            zip(unread, pool.map(_examine, (root / p for p in unread)), strict=True), 1
        ):
            found[path] = state
            if progress and (done % REPORT_EVERY == 0 or done == len(unread)):
                progress(len(found), len(paths))
    if index is not None and unread:
        now = time.time_ns()
        settled = {path: stamps[path] for path in unread if _is_settled(stamps[path], now)}
        known.update(
            {
                path: (stamp, found[path].content, found[path].reason, found[path].aspect)
                for path, stamp in settled.items()
            }
        )
        _write_index(index, known)
    return {path: found[path] for path in paths}


def _examine(path: Path) -> Examined:
    try:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return Examined("", "missing")
    except OSError as error:
        return Examined("", f"cannot be read ({error.strerror})")
    try:
        return Examined(content, None, check_pixels(path))
    except UnreadableImage as error:
        return Examined(content, error.reason)


def _stamp(path: Path) -> str:
    """Size, times of modification and status change in ns, and inode; "" if there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return ""
    # A copy may keep size and modification time, but nobody can set the time of the status change.
    return f"{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}/{status.st_ino}"


def _is_settled(stamp: str, now: int) -> bool:
    return bool(stamp) and now - max(int(time) for time in stamp.split("/")[1:3]) > SETTLED_NS


def _index_file(cache: Path, root: Path) -> Path:
    return cache / "images" / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]}.json"


def _read_index(path: Path | None) -> dict[str, IndexRow]:
    """Rows by image path; empty if the index is missing, damaged, of an older format or of another way of reading."""
    if path is None:
        return {}
    try:
        read: Any = json.loads(path.read_bytes())
        if read["reading"] != READING:
            return {}
        return {image: (str(row[0]), str(row[1]), row[2], float(row[3])) for image, row in read["images"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return {}


def _write_index(path: Path, known: dict[str, IndexRow]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"reading": READING, "images": known}))
