"""The image files of a data set: unreadable files are found, checks are cached, and paths cannot leave the folder."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from PIL import Image

from trainer.data.image_files import ImageFiles, find_unreadable, is_unsafe


def write(folder: Path) -> dict[str, str]:
    """Good and bad files; for the bad ones what is said of them."""
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "JPEG")
    (folder / "good.jpg").write_bytes(whole.getvalue())
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:-600])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>")
    (folder / "folder.jpg").mkdir()
    png = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(png, "PNG")
    broken = bytearray(png.getvalue())
    broken[200:210] = bytes(10)
    (folder / "flipped.png").write_bytes(bytes(broken))
    Image.new("1", (5000, 1)).save(folder / "strip.png")
    Image.new("F", (5, 5)).save(folder / "heights.tif")
    return {
        "cut.jpg": "truncated",
        "empty.jpg": "not an image",
        "page.jpg": "not an image",
        "folder.jpg": "directory",
        "flipped.png": "",
        "strip.png": "too narrow a strip",
        "heights.tif": "no agreed range",
        "nowhere.jpg": "missing",
    }


def test_unreadable_images_are_found_with_the_reason(tmp_path: Path) -> None:
    expected = write(tmp_path)
    calls: list[tuple[int, int]] = []
    found = find_unreadable(tmp_path, ["good.jpg", *expected], progress=lambda done, count: calls.append((done, count)))
    assert found.keys() == expected.keys()
    assert all(part in found[path] for path, part in expected.items())
    assert all(found.values())
    assert calls[-1] == (9, 9)


def test_checks_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    images.mkdir()
    paths = ["good.jpg", *write(images)]
    first = find_unreadable(images, paths, tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr("trainer.data.image_files._reason", lambda path: pytest.fail("it was read again"))
        assert find_unreadable(images, paths, tmp_path / "cache") == first
    (images / "page.jpg").write_bytes((images / "good.jpg").read_bytes())
    assert "page.jpg" not in find_unreadable(images, paths, tmp_path / "cache")


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (300, 300)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert "too many pixels" in find_unreadable(tmp_path, ["x.png"])["x.png"]


def test_images_reach_worker_processes(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "blue").save(tmp_path / "x.png")
    assert pickle.loads(pickle.dumps(ImageFiles(tmp_path, ("x.png",))))(0).size == (3, 2)  # noqa: S301


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..\\x.jpg", "C:/x.jpg", "", "C:\\x.jpg"])
def test_paths_that_lead_out(path: str) -> None:
    assert is_unsafe(path)


@pytest.mark.parametrize("path", ["x.jpg", "a/b c/x.jpg", "a\\x.jpg", "..x.jpg", "a..b/x.jpg"])
def test_paths_that_stay(path: str) -> None:
    assert not is_unsafe(path)
