"""Images whose numbers or blocks mislead readers: read as a viewer shows them, or refused; by check and train alike."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data import images
from trainer.data.images import UnreadableImage, check_header, check_pixels, read_image

NOISE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png16(path: Path, values: np.ndarray) -> Path:
    """RGB of 16 bits, which Pillow reads but does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def refused(path: Path) -> str:
    """Why an image is refused; by the check and when it is read for training."""
    said = []
    for read in (check_pixels, read_image):
        with pytest.raises(UnreadableImage) as caught:
            read(path)
        said.append(caught.value.reason)
    assert said[0] == said[1]
    return said[0]


@pytest.mark.parametrize("type_", [np.int32, np.uint32])
def test_integers_of_32_bits(tmp_path: Path, type_: type) -> None:
    Image.fromarray(NOISE[..., 0].astype(np.int32)).save(tmp_path / "a.tif")
    if type_ is np.uint32:
        content = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(
            content.replace(struct.pack("<HHII", 339, 3, 1, 2), struct.pack("<HHII", 339, 3, 1, 1))
        )
    assert "32-bit integers have no agreed range" in refused(tmp_path / "a.tif")


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_few_bits_in_16(tmp_path: Path, bits: int, suffix: str) -> None:
    Image.fromarray((NOISE[..., 0].astype(np.uint16) << 8) >> (16 - bits)).save(tmp_path / f"a.{suffix}")
    assert "have a range of their own" in refused(tmp_path / f"a.{suffix}")
    if suffix == "png":
        assert "have a range of their own" in refused(
            png16(tmp_path / "b.png", (NOISE.astype(int) << 8) >> (16 - bits))
        )


def test_all_of_16_bits(tmp_path: Path) -> None:
    np.testing.assert_array_equal(np.asarray(read_image(png16(tmp_path / "a.png", NOISE.astype(int) * 257))), NOISE)
    Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(tmp_path / "b.tif")
    check_pixels(tmp_path / "b.tif")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "b.tif"))[..., 1], NOISE[..., 0])


def test_black_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).max() == 0


@pytest.mark.parametrize(
    "block", [b"hello world", b"\0\x08\0\x02\x01\x12\0\x03", b"II*\0", b"Exif\0\0MM", b"\xff" * 40]
)
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_damaged_exif_block_does_not_hide_the_picture(tmp_path: Path, block: bytes, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    Image.fromarray(NOISE).save(path, exif=block, **({"lossless": True} if kind == "webp" else {}))
    check_pixels(path)
    np.testing.assert_array_equal(np.asarray(read_image(path)), NOISE)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_orientation_in_every_format(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE).save(tmp_path / f"a.{kind}", exif=exif)
    assert read_image(tmp_path / f"a.{kind}").size == (12, 16)


@pytest.mark.parametrize("before", [True, False])
def test_long_texts_in_a_png(tmp_path: Path, before: bool) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x" * 70_000_000))
    at = 33 if before else len(content) - 12
    (tmp_path / "a.png").write_bytes(content[:at] + text + content[at:])
    check_header(tmp_path / "a.png")
    check_pixels(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), NOISE)


def test_huge_images_are_reduced_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_KEPT_PIXELS", 64 * 48)
    smooth = Image.fromarray(NOISE).resize((400, 304), Image.Resampling.BICUBIC)
    for name in ("a.jpg", "a.png", "a.tif"):
        smooth.save(tmp_path / name, **({"quality": 95} if name == "a.jpg" else {}))
        read = read_image(tmp_path / name)
        assert read.size == (50, 38)
        difference = np.asarray(read, int) - np.asarray(smooth.resize(read.size, Image.Resampling.BOX), int)
        assert np.abs(difference).mean() < 4


def test_the_budget_bounds_what_threads_hold_at_once() -> None:
    budget = images._PixelBudget(100)

    def work(pixels: int) -> int:
        with budget.hold(pixels):
            return budget.free

    with ThreadPoolExecutor(8) as pool:
        free = list(pool.map(work, [30, 40, 500, 60, 100, 1] * 50))
    assert min(free) >= 0
    assert budget.free == 100
