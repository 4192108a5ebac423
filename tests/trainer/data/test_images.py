"""Unusual image files: read in RGB with the right orientation, or refused with a reason."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.data.images import UnreadableImage, check_header, check_pixels, find_images, passed_over, read_image
from trainer.errors import TrainerError


def picture() -> Image.Image:
    """4 × 6 pixels, all different."""
    values = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3
    return Image.fromarray(values)


HOW_IT_LIES = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture lies in a file of each EXIF orientation."""


@pytest.mark.parametrize("orientation", HOW_IT_LIES)
def test_exif_orientation_is_undone(tmp_path: Path, orientation: int) -> None:
    way = HOW_IT_LIES[orientation]
    stored = picture() if way is None else picture().transpose(way)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), np.asarray(picture()))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    white = Image.new("L", (3, 2), 255)
    stored = Image.new("I;16", (3, 2), 65535) if mode == "I;16" else white.convert("RGB").convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    stored.save(path)
    read = read_image(path)
    assert (read.mode, read.size) == ("RGB", (3, 2))
    assert np.asarray(read).min() == 255


def test_grey_of_16_bits_is_scaled_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0x4000, 0x8000, 0xFFFF]], np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]


def test_transparent_pixels_are_laid_on_white(tmp_path: Path) -> None:
    """Whatever colour lies under them."""
    Image.new("RGBA", (1, 1), (200, 0, 0, 0)).save(tmp_path / "a.png")
    paletted = Image.new("P", (1, 1), 0)
    paletted.putpalette([10, 20, 30])
    paletted.save(tmp_path / "b.png", transparency=0)
    for name in ("a.png", "b.png"):
        assert read_image(tmp_path / name).getpixel((0, 0)) == (255, 255, 255)


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def broken(folder: Path) -> dict[str, str]:
    """Files that are no images, each with what is said about it."""
    Image.effect_noise((64, 64), 50).convert("RGB").save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not an image")
    (folder / "pickle.png").write_bytes(pickle.dumps([1, 2, 3]))
    Image.new("RGB", (1, 2000)).save(folder / "strip.png")
    Image.fromarray(np.ones((2, 2), np.float32)).save(folder / "float.tif")
    return {
        "cut.jpg": "truncated",
        "empty.png": "not an image",
        "text.jpg": "not an image",
        "pickle.png": "not an image",
        "strip.png": "1×2000 pixels are too narrow a strip",
        "float.tif": "no agreed range",
    }


def test_unreadable_files_are_named_with_a_reason(tmp_path: Path) -> None:
    for name, said in broken(tmp_path).items():
        with pytest.raises(UnreadableImage, match=said) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        with pytest.raises(UnreadableImage, match=said):
            check_pixels(tmp_path / name)
    for name in ("empty.png", "text.jpg", "strip.png"):
        with pytest.raises(UnreadableImage):
            check_header(tmp_path / name)
    check_header(tmp_path / "whole.jpg")


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnreadableImage, match="too many pixels"):
        read_image(tmp_path / "a.png")


@settings(max_examples=60, deadline=None)
@given(where=st.integers(0, 2000), value=st.integers(0, 255), kind=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF"]))
def test_a_flipped_byte_is_an_image_or_an_unreadable_one(
    tmp_path_factory: pytest.TempPathFactory, where: int, value: int, kind: str
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "a"
    picture().resize((24, 24)).save(path, kind)
    content = bytearray(path.read_bytes())
    content[where % len(content)] = value
    path.write_bytes(content)
    try:
        assert read_image(path).mode == "RGB"
    except UnreadableImage as error:
        assert error.reason


class TestFinding:
    def test_folders_are_walked_in_order(self, tmp_path: Path) -> None:
        for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden/d.png", ".e.png", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        found = find_images([tmp_path / "sub" / "c.webp", tmp_path])
        assert [str(path.relative_to(tmp_path)) for path in found] == ["sub/c.webp", "a.JPG", "b.png", "sub/c.webp"]

    def test_a_file_is_taken_whatever_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "photo").write_bytes(b"")
        assert find_images([tmp_path / "photo"]) == [tmp_path / "photo"]

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(TrainerError, match="no image in this folder"):
            find_images([tmp_path])
        with pytest.raises(TrainerError, match="no such file or folder"):
            find_images([tmp_path / "x.png"])

    def test_what_is_passed_over_is_counted(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "b.HEIC", "c.heic", "scan", ".hidden.heic"):
            (tmp_path / name).write_bytes(b"")
        assert passed_over([tmp_path, tmp_path / "scan"]) == "2 .heic, 1 without suffix"
        (tmp_path / "a.jpg").unlink()
        with pytest.raises(TrainerError, match=r"passed over: 2 \.heic"):
            find_images([tmp_path])
