"""Finding and reading image files, for training and inference alike."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.errors import TrainerError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jp2", ".avif"})
"""File name extensions of images in a folder."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow's names of these formats. All are decoded in this process; of others, EPS would start an interpreter."""

MAX_ASPECT_RATIO = 1000
"""Longer over shorter side; resizing the shorter side of a more extreme image would exhaust memory."""

CHECK_SIZE = 64
"""Side to which a JPEG is decoded for a check, which skips most of the decoding."""


class UnreadableImage(TrainerError):
    """A file that is not an image, is damaged, or has pixels without a defined value range.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The given files, and all image files in the given folders and their subfolders, sorted within each folder.

    Hidden files and folders are skipped.

    Raises:
        TrainerError: a path that does not exist, or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                raise TrainerError(f"{path}: no image in this folder ({', '.join(sorted(SUFFIXES))})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise TrainerError(f"{path}: there is no such file or folder")
    return found


def read_image(path: Path) -> Image.Image:
    """Read an image in RGB, rotated by its EXIF orientation.

    Transparency is composited over white, 16-bit grey is scaled to 8 bits, and of several frames the first is read.

    Raises:
        UnreadableImage: the file is not an image, is damaged, or has pixels without a defined value range.
    """
    with _opened(path) as opened:
        return _decoded(path, opened)


def decode_image(name: str, content: bytes) -> Image.Image:
    """As `read_image`, from a file's content, in one of FORMATS.

    Args:
        name: for errors.
        content: the file's bytes.

    Raises:
        UnreadableImage: see `read_image`.
    """
    path = Path(name)
    with _opened(path, content) as opened:
        return _decoded(path, opened)


def check_header(path: Path) -> None:
    """Check that a file has a valid image header, without decoding pixels.

    Raises:
        UnreadableImage: it has not.
    """
    with _opened(path):
        pass


def check_pixels(path: Path) -> None:
    """Check that a file is a complete image. The whole file is read, but a JPEG is decoded at a small size only.

    Raises:
        UnreadableImage: it is not.
    """
    with _opened(path) as opened:
        opened.draft("RGB", (CHECK_SIZE, CHECK_SIZE))
        opened.load()
        _rgb(path, opened.crop((0, 0, 1, 1)))


@contextmanager
def _opened(path: Path, content: bytes | None = None) -> Iterator[Image.Image]:
    """The opened file, or its content if that is given."""
    source, formats = (path, None) if content is None else (BytesIO(content), FORMATS)
    try:
        with Image.open(source, formats=formats) as opened:
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


def _decoded(path: Path, opened: Image.Image) -> Image.Image:
    opened.load()
    return _rgb(path, ImageOps.exif_transpose(opened))


def _inside(folder: Path) -> list[Path]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(root) / name
            for name in sorted(files)
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return found


def _check_shape(path: Path, image: Image.Image) -> None:
    short, long = sorted(image.size)
    if short < 1 or long / short > MAX_ASPECT_RATIO:
        raise UnreadableImage(path, f"{image.width}×{image.height} pixels are too narrow a strip")


def _rgb(path: Path, image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImage(path, "floating-point pixels have no agreed range; save the image with 8 bits")
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
