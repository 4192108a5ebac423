"""The image files of a data set: loading on demand, and checks of all files before training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from trainer.data.images import UnreadableImage, check_pixels, read_image

THREADS = 4
REPORT_EVERY = 256
"""Images between two progress reports."""

Progress = Callable[[int, int], None]


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


def is_unsafe(path: str) -> bool:
    """Whether a path read from a file leads out of the data root."""
    pure = PurePosixPath(path.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts or ":" in pure.parts[0] if pure.parts else True


def find_unreadable(
    root: Path, paths: Sequence[str], cache: Path | None = None, progress: Progress | None = None
) -> dict[str, str]:
    """The images that cannot be used, each with the reason: missing, not an image, truncated, too large.

    Every file is read once. The result is cached for the same files with the same sizes and modification times.

    Args:
        root: the data root.
        paths: of the images, relative to it.
        cache: the cache folder; None: no cache.
        progress: called with (images done, total).
    """
    stamps = [_stamp(root / path) for path in paths]
    kept = None
    if cache is not None:
        listed = "\n".join(f"{path}\t{stamp}" for path, stamp in zip(paths, stamps, strict=True))
        kept = cache / "images" / f"{hashlib.sha256(listed.encode()).hexdigest()[:32]}.json"
        if kept.is_file():
            return dict(json.loads(kept.read_text(encoding="utf-8")))
    found: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for done, (path, reason) in enumerate(zip(paths, pool.map(_reason, (root / p for p in paths)), strict=True), 1):
            if reason:
                found[path] = reason
            if progress and (done % REPORT_EVERY == 0 or done == len(paths)):
                progress(done, len(paths))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(".tmp")
        temporary.write_text(json.dumps(found), encoding="utf-8")
        temporary.replace(kept)
    return found


def _reason(path: Path) -> str | None:
    """Why an image cannot be used; None if it can."""
    if not path.exists():
        return "missing"
    try:
        check_pixels(path)
    except UnreadableImage as error:
        return error.reason
    return None


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_size}/{status.st_mtime_ns}"
