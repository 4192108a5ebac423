"""Frozen features: cached, resumed, size reported in advance, or computed on the fly with the same results."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.tiny import random_clip, small_bank
from trainer.data import feature_entry
from trainer.data.registry import load_dataset
from trainer.data.streaming import EncodedImages
from trainer.errors import TrainerError
from trainer.evaluation.measuring import scores
from trainer.preparing import Prepared, Reporter, assemble
from trainer.resolving import resolve
from trainer.run_config import RunConfig

SMALL: dict[str, Any] = {
    "data.sites": 2,
    "data.images_per_site": 12,
    "data.validation_images": 30,
    "data.test_images": 40,
    "method.rank": 4,
}
CLIP = random_clip()
PER_IMAGE = (CLIP.patches + 1) * CLIP.dim * 2


class Cut(Exception):
    """Where a test interrupts."""


def prepared(cache: Path, reporter: Reporter | None = None, **settings: object) -> Prepared:
    """As `training.prepare`, on the random CLIP."""
    config: RunConfig = resolve(overrides={**SMALL, **{f"compute.{key}": v for key, v in settings.items()}})
    dataset = load_dataset(config.data)
    bank = small_bank(labels=dataset.label_names)
    return assemble(config, dataset, CLIP, bank, cache, reporter or Reporter())


def test_features_are_computed_once_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that was cut off after its first chunk goes on there, to the same features."""
    monkeypatch.setattr(feature_entry, "CHUNK", 16)
    ready = prepared(tmp_path / "whole")
    expected = ready.features(ready.dataset.test)
    seen: list[int] = []

    def stop(split: str, done: int, count: int) -> None:
        seen.append(done)
        if len(seen) == 1:
            raise Cut

    cut = Prepared(ready.config, ready.dataset, ready.method, tmp_path / "cut", Reporter(features=stop))
    with pytest.raises(Cut):
        cut.features(ready.dataset.test)
    got = cut.features(ready.dataset.test)
    assert seen == [16, 32, 40]
    np.testing.assert_array_equal(got.arrays["patches"], expected.arrays["patches"])
    np.testing.assert_array_equal(got.arrays["image"], expected.arrays["image"])
    cut.features(ready.dataset.test)
    assert len(seen) == 3


@pytest.mark.parametrize(("storage", "within"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_features_are_those_of_the_images(tmp_path: Path, storage: str, within: float) -> None:
    ready = prepared(tmp_path, feature_type=storage)
    split = ready.dataset.test
    batch = ready.features(split).batch([7, 3])
    pixels = torch.stack([CLIP.image_tensor(split.image(i)) for i in (7, 3)])
    torch.testing.assert_close(batch.patches, CLIP.encode_image(pixels).patches, atol=within, rtol=within)
    assert batch.labels.tolist() == split.labels[[7, 3]].tolist()


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_without_a_cache_the_numbers_are_the_same(tmp_path: Path, storage: str) -> None:
    """Up to what the tower's own rounding does to a batch of another size: one step of the type kept."""
    kept = prepared(tmp_path / "cache", feature_type=storage)
    streamed = prepared(tmp_path / "none", feature_cache=False, feature_type=storage)
    split = kept.dataset.test
    source = streamed.features(split)
    assert isinstance(source, EncodedImages)
    step = {"float16": 2**-10, "bfloat16": 2**-7}[storage]
    for found, expected in zip(source.batch([7, 3]), kept.features(split).batch([7, 3]), strict=True):
        if found is not None:
            torch.testing.assert_close(found, expected, rtol=step, atol=1e-6)
    torch.testing.assert_close(
        scores(streamed.method, source), scores(kept.method, kept.features(split)), rtol=1e-2, atol=1e-2
    )
    assert not (tmp_path / "none").exists()


def test_the_size_is_reported_in_advance(tmp_path: Path) -> None:
    said: list[str] = []
    ready = prepared(tmp_path, Reporter(say=said.append))
    ready.features(ready.dataset.test)
    size = 40 * PER_IMAGE / 1e3
    assert len(said) == 1
    assert f"40 images × {17 * 24} numbers × 2 bytes = {size:.1f} kB" in said[0]
    files = (tmp_path / "features").glob("*test*/*.npy")
    assert sum(file.stat().st_size for file in files) - 2 * 128 == 40 * PER_IMAGE
    ready.features(ready.dataset.test)
    assert len(said) == 1


def test_a_full_disk_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    ready = prepared(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 40 * PER_IMAGE - 1))
    with pytest.raises(TrainerError, match="free there: choose another --cache-dir, or --no-feature-cache"):
        ready.features(ready.dataset.test)
    assert not list(tmp_path.rglob("*.npy"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 40 * PER_IMAGE))
    ready.features(ready.dataset.test)


@pytest.mark.parametrize(
    "damage", ["cut", "gone", "other shape", "no number", "too many", "negative", "infinite", "deep", "header", "body"]
)
def test_a_damaged_entry_is_recomputed(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_entry, "CHUNK", 16)
    said: list[str] = []
    ready = prepared(tmp_path, Reporter(say=said.append))
    expected = ready.features(ready.dataset.test).batch([5]).patches
    (folder,) = (tmp_path / "features").glob("*test*")
    file = folder / "patches.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "gone":
        file.unlink()
    elif damage == "other shape":
        np.save(file, np.zeros((40, 3), np.float16))
    elif damage in ("header", "body"):
        content = bytearray(file.read_bytes())
        content[20 if damage == "header" else -5] ^= 64
        file.write_bytes(content)
    else:
        sums = json.dumps(json.loads((folder / "meta.json").read_text())["sums"])
        done = {"no number": "null", "too many": "41", "negative": "-5", "infinite": "1e999", "deep": "[" * 100_000}
        (folder / "meta.json").write_text(f'{{"done": {done[damage]}, "sums": {sums}}}')
    said.clear()
    assert torch.equal(ready.features(ready.dataset.test).batch([5]).patches, expected)
    assert f"encoded again from image {32 if damage == 'body' else 0} on" in said[0]
    said.clear()
    ready.features(ready.dataset.test)
    assert said == []


def test_a_complete_entry_is_read_without_writing(tmp_path: Path) -> None:
    """A shared cache may be read-only: neither a lock nor anything else is written."""
    ready = prepared(tmp_path)
    expected = ready.features(ready.dataset.test).batch([5]).patches
    (folder,) = (tmp_path / "features").glob("*test*")
    (folder / "lock").unlink(missing_ok=True)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert torch.equal(ready.features(ready.dataset.test).batch([5]).patches, expected)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.trainer.data.test_features import prepared
from trainer.data import feature_entry
from trainer.preparing import Reporter

feature_entry.CHUNK = 16
def kill(split, done, count):
    if done == 32:
        os.kill(os.getpid(), signal.SIGKILL)
ready = prepared(Path(sys.argv[1]), Reporter(features=kill))
ready.features(ready.dataset.test)
"""


def test_a_killed_computation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_entry, "CHUNK", 16)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    seen: list[int] = []
    said: list[str] = []
    ready = prepared(tmp_path, Reporter(features=lambda split, done, count: seen.append(done), say=said.append))
    got = ready.features(ready.dataset.test)
    assert seen == [40]
    assert said[0].endswith(", 32 images done")
    whole = prepared(tmp_path / "whole")
    expected = whole.features(whole.dataset.test).batch(list(range(40))).patches
    torch.testing.assert_close(got.batch(list(range(40))).patches, expected, rtol=2**-10, atol=1e-6)


RESIDENT = """
import resource, sys
import numpy as np
from pathlib import Path
from trainer.data.features import FeatureStore

folder = Path(sys.argv[1])
for name, shape in (("image", (20_000, 512)), ("patches", (20_000, 196, 512))):
    array = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=shape)
    del array
arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("image", "patches")}
store = FeatureStore(arrays, np.zeros((20_000, 3), np.int8), ())
store.batch([0])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(0, 20_000, 400):
    store.batch(np.arange(start, start + 16))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_features_larger_than_the_memory_asked_for(tmp_path: Path) -> None:
    """Batches from 4 GB of features (in a sparse file) need some 100 MB: only their own rows are read."""
    done = subprocess.run([sys.executable, "-c", RESIDENT, str(tmp_path)], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 400
