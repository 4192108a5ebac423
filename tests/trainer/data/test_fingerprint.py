"""A data set is identified by what its files hold: neither by where they lie nor by their names and sizes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data import image_files
from trainer.data.base import MultiLabelDataset
from trainer.data.registry import load_dataset
from trainer.resolving import resolve


def pictures(root: Path, seed: int) -> Path:
    """Twenty bitmaps, all of one size, and their table."""
    root.mkdir(exist_ok=True)
    lines = ["path,labels"]
    for i in range(20):
        pixels = np.random.default_rng([seed, i]).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{i:02d}.bmp")
        lines.append(f"{i:02d}.bmp,{'cat' if i % 2 else 'dog'}")
    (root / "t.csv").write_text("\n".join(lines))
    return root


def load(root: Path, cache: Path | None = None) -> MultiLabelDataset:
    settings = {"data.dataset": "table", "data.data_root": str(root), "data.partition.clients": 2}
    return load_dataset(resolve(overrides=settings).data, cache)


@pytest.mark.parametrize("cached", [True, False])
def test_other_pixels_are_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool) -> None:
    monkeypatch.setattr(image_files, "SETTLED_NS", -1)
    cache = tmp_path / "cache" if cached else None
    before = load(pictures(tmp_path / "a", 0), cache)
    times = {path: path.stat() for path in (tmp_path / "a").glob("*.bmp")}
    pictures(tmp_path / "a", 1)
    for path, status in times.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert path.stat().st_size == status.st_size
    assert load(tmp_path / "a", cache).fingerprint != before.fingerprint
    assert load(pictures(tmp_path / "b", 1), cache).fingerprint == load(tmp_path / "a", cache).fingerprint


def test_the_folder_does_not_count(tmp_path: Path) -> None:
    first = load(pictures(tmp_path / "a", 0), tmp_path / "cache")
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")
    (tmp_path / "elsewhere" / "b" / "00.bmp").touch()
    assert load(tmp_path / "elsewhere" / "b", tmp_path / "cache").fingerprint == first.fingerprint
