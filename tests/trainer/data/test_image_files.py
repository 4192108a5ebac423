"""The image files of a data set: all are read, results are kept beside a content hash, and paths stay in the folder."""

from __future__ import annotations

import io
import os
import pickle
import time
from pathlib import Path

import pytest
from PIL import Image

from trainer.data import image_files
from trainer.data.image_files import ImageFiles, examine_images, path_problem


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
    found = examine_images(tmp_path, ["good.jpg", *expected], progress=lambda done, count: calls.append((done, count)))
    reasons = {path: state.reason for path, state in found.items()}
    assert reasons.pop("good.jpg") is None
    assert all(reasons[path] and part in reasons[path] for path, part in expected.items())
    assert calls[-1] == (9, 9)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(image_files, "SETTLED_NS", -1)


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "_examine", lambda path: pytest.fail("it was read again"))


@pytest.mark.usefixtures("settled")
def test_results_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    images.mkdir()
    paths = ["good.jpg", *(path for path, reason in write(images).items() if reason not in ("missing", "directory"))]
    first = examine_images(images, paths, tmp_path / "cache")
    with monkeypatch.context() as patched:
        no_reading(patched)
        assert examine_images(images, paths, tmp_path / "cache") == first
    (images / "page.jpg").write_bytes((images / "good.jpg").read_bytes())
    assert examine_images(images, paths, tmp_path / "cache")["page.jpg"] == first["good.jpg"]


@pytest.mark.usefixtures("settled")
def test_other_pixels_of_the_same_size_and_time_are_noticed(tmp_path: Path) -> None:
    """As after `cp -p` or a restored backup."""
    path = tmp_path / "a.bmp"
    Image.new("RGB", (8, 8), "red").save(path)
    before, status = examine_images(tmp_path, ["a.bmp"], tmp_path / "cache"), path.stat()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    Image.new("RGB", (8, 8), "blue").save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after = examine_images(tmp_path, ["a.bmp"], tmp_path / "cache")
    assert after["a.bmp"].content != before["a.bmp"].content


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a tick of the clock it could change without a trace."""
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.bmp")
    examine_images(tmp_path, ["a.bmp"], tmp_path / "cache")
    no_reading(monkeypatch)
    with pytest.raises(pytest.fail.Exception):
        examine_images(tmp_path, ["a.bmp"], tmp_path / "cache")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"images": {"a.bmp": 3}}', b"\xff", b"[" * 99999])
def test_a_damaged_index_is_as_none(tmp_path: Path, damage: bytes) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.bmp")
    first = examine_images(tmp_path, ["a.bmp"], tmp_path / "cache")
    (index,) = (tmp_path / "cache" / "images").iterdir()
    index.write_bytes(damage)
    assert examine_images(tmp_path, ["a.bmp"], tmp_path / "cache") == first


def test_a_bomb_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (300, 300)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    assert "too many pixels" in str(examine_images(tmp_path, ["x.png"])["x.png"].reason)


def test_images_reach_worker_processes(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), "blue").save(tmp_path / "x.png")
    assert pickle.loads(pickle.dumps(ImageFiles(tmp_path, ("x.png",))))(0).size == (3, 2)  # noqa: S301


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..\\x.jpg", "C:/x.jpg", "", "C:\\x.jpg"])
def test_paths_that_lead_out(path: str) -> None:
    assert path_problem(path) in ("must lie below the data's folder", "is empty")


@pytest.mark.parametrize("path", ["a\0.jpg", "a\n.jpg", "\ud800.jpg", "x" * 300 + ".jpg", "ä" * 130 + "/x.jpg"])
def test_paths_that_no_file_can_have(path: str) -> None:
    assert path_problem(path)


@pytest.mark.parametrize("path", ["x.jpg", "a/b c/x.jpg", "a\\x.jpg", "..x.jpg", "a..b/x.jpg", "ä" * 120 + ".jpg"])
def test_paths_that_stay(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.skipif(os.name == "nt", reason="a colon names a drive or a stream there")
def test_times_of_day_in_names() -> None:
    assert path_problem("2024-05-01T10:00:00.jpg") is None
