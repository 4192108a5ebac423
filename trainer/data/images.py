"""Finding and reading image files, for training and inference alike."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from trainer.data.image_values import check_values, depth
from trainer.data.png_text import without_text
from trainer.errors import TrainerError

READING = "2"
"""Version of the way from file to pixels, part of what identifies a data set; raised when `read_image` changes."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jp2", ".avif"})
"""File name extensions of images in a folder."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of these formats. All are decoded in this process; of others, EPS would start an interpreter."""

MAX_ASPECT_RATIO = 1000
"""Longer over shorter side; resizing the shorter side of a more extreme image would exhaust memory."""

CHECK_SIDE = 64
"""Side to which a JPEG is decoded for a check, which skips most of the decoding."""

MAX_KEPT_PIXELS = 2**25
"""Larger images are reduced by 2, 4 or 8 while they are read; no model sees a hundredth of these pixels."""

DECODED_AT_ONCE = 2**26
"""Pixels that all threads together decode at once; a larger image is decoded alone."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns an image of an EXIF orientation upright."""

# Pillow warns of half of the size that it refuses, while memory is bounded here, and of each damaged tag.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class UnreadableImage(TrainerError):
    """A file that is not an image, is damaged, or has pixels without a defined value range.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


class _PixelBudget:
    """Bounds the pixels that threads decode at once."""

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self.changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until so many pixels are free, all of them for a larger image, and hold them."""
        wanted = min(pixels, self.total)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= wanted)
            self.free -= wanted
        try:
            yield
        finally:
            with self.changed:
                self.free += wanted
                self.changed.notify_all()


_BUDGET = _PixelBudget(DECODED_AT_ONCE)


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The given files, and all image files in the given folders and their subfolders, sorted within each folder.

    Hidden files and folders are skipped.

    Raises:
        TrainerError: a path that does not exist, or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in _visible_files(path) if file.suffix.lower() in SUFFIXES]
            if not inside:
                others = passed_over([path])
                there = f"; passed over: {others}" if others else ""
                raise TrainerError(f"{path}: no image in this folder ({', '.join(sorted(SUFFIXES))}){there}")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise TrainerError(f"{path}: there is no such file or folder")
    return found


def passed_over(paths: Iterable[Path]) -> str:
    """The files in given folders that `find_images` leaves out for their suffix, counted: "3 .heic, 1 .txt"."""
    others = Counter(
        file.suffix.lower() or "without suffix"
        for path in paths
        if path.is_dir()
        for file in _visible_files(path)
        if file.suffix.lower() not in SUFFIXES
    )
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items(), key=lambda pair: -pair[1])[:8])


def read_image(path: Path) -> Image.Image:
    """Read an image in RGB, rotated by its EXIF orientation; a damaged EXIF block is ignored, as viewers do.

    Transparency is composited over white, 16-bit grey is scaled to 8 bits, and of several frames the first is read.
    Images of more than MAX_KEPT_PIXELS are reduced.

    Raises:
        UnreadableImage: the file is not an image, is damaged, or has pixels without a defined value range.
    """
    return _read(path, None)


def decode_image(name: str, content: bytes) -> Image.Image:
    """As `read_image`, from a file's content.

    Args:
        name: for errors.
        content: the file's bytes.

    Raises:
        UnreadableImage: see `read_image`.
    """
    return _decoded(Path(name), BytesIO(content), None)


def check_pixels(path: Path) -> float:
    """Check that `read_image` can read a file; the same code runs, but a JPEG is decoded at a small size.

    Returns:
        The longer side over the shorter.

    Raises:
        UnreadableImage: it can't.
    """
    short, long = sorted(_read(path, CHECK_SIDE).size)
    return long / short


def check_header(path: Path) -> None:
    """Check that a file has a valid image header, without decoding pixels.

    Raises:
        UnreadableImage: it has not.
    """
    try:
        with _opened(path, path):
            pass
    except UnreadableImage:
        plain = without_text(path)
        if plain is None:
            raise
        with _opened(path, BytesIO(plain)):
            pass


def _read(path: Path, side: int | None) -> Image.Image:
    try:
        return _decoded(path, path, side)
    except UnreadableImage:
        plain = without_text(path)
        if plain is None:
            raise
    return _decoded(path, BytesIO(plain), side)


def _decoded(path: Path, source: Path | BytesIO, side: int | None) -> Image.Image:
    with _opened(path, source) as opened, _BUDGET.hold(opened.width * opened.height):
        bits = depth(opened)
        factor = _reduction(opened.width * opened.height)
        opened.draft(None, (side, side) if side else (opened.width // factor, opened.height // factor))
        opened.load()
        if reason := check_values(opened, bits):
            raise UnreadableImage(path, reason)
        image: Image.Image = opened
        factor = _reduction(image.width * image.height)
        if factor > 1 and image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
            image = image.reduce(factor)
        return _upright(_rgb(image), opened)


def _reduction(pixels: int) -> int:
    """The power of two by which the sides of an image are divided."""
    return next((factor for factor in (1, 2, 4) if pixels <= MAX_KEPT_PIXELS * factor**2), 8)


@contextmanager
def _opened(path: Path, source: Path | BytesIO) -> Iterator[Image.Image]:
    try:
        with Image.open(source, formats=FORMATS) as opened:
            _check_shape(path, opened)
            yield opened
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, "not an image that can be read") from error
    except Exception as error:  # Pillow's decoders can raise anything on damaged files
        raise UnreadableImage(path, str(error) or type(error).__name__) from error


def _visible_files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root) / name for name in sorted(files) if not name.startswith("."))


def _check_shape(path: Path, image: Image.Image) -> None:
    short, long = sorted(image.size)
    if short < 1 or long / short > MAX_ASPECT_RATIO:
        raise UnreadableImage(path, f"{image.width}×{image.height} pixels are too narrow a strip")


def _upright(image: Image.Image, opened: Image.Image) -> Image.Image:
    """The image turned by the EXIF orientation of the opened file."""
    try:
        orientation: Any = opened.getexif().get(0x0112)
        operation = UPRIGHT.get(orientation)
    except Exception:  # Pillow's parser can raise anything on a damaged block, without which the picture is whole
        operation = None
    return image if operation is None else image.transpose(operation)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
