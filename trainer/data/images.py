"""Image files: found in folders, and read the same way for training and for inference."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from trainer.errors import TrainerError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jp2", ".avif"})
"""By which image files are known in a folder."""

LARGEST_ASPECT = 1000
"""Longer side over shorter side; a strip beyond it would not fit into memory when its shorter side is enlarged."""

CHECKED_SIZE = 64
"""Side to which a JPEG is decoded for a check; most of the arithmetic is left out then."""


class UnreadableImage(TrainerError):
    """A file that is no image, is damaged, or whose pixels have no agreed meaning.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as named, and the image files of folders and their sub-folders, sorted within a folder.

    Hidden files and folders are left out.

    Raises:
        TrainerError: a path that is not there, or a folder without an image.
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
    """An image in RGB, turned as its EXIF orientation says.

    Transparent pixels are laid on white, 16-bit grey is scaled to 8 bits, of several frames the first one is read.

    Raises:
        UnreadableImage: where the file is no image, is cut off or damaged, or has pixels of no agreed range.
    """
    with _opened(path) as opened:
        opened.load()
        return _rgb(path, ImageOps.exif_transpose(opened))


def check_header(path: Path) -> None:
    """Whether a file looks like an image, without decoding its pixels.

    Raises:
        UnreadableImage: where it doesn't.
    """
    with _opened(path):
        pass


def check_pixels(path: Path) -> None:
    """Whether a file is a whole image: all of it is read, but a JPEG is only decoded to a small size.

    Raises:
        UnreadableImage: where it isn't.
    """
    with _opened(path) as opened:
        opened.draft("RGB", (CHECKED_SIZE, CHECKED_SIZE))
        opened.load()
        _rgb(path, opened.crop((0, 0, 1, 1)))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as opened:
            _check_shape(path, opened)
            yield opened
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(path, f"too many pixels ({error})") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(path, "not an image that can be read") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them stumble over.
        raise UnreadableImage(path, str(error) or type(error).__name__) from error


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
    if short < 1 or long / short > LARGEST_ASPECT:
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
