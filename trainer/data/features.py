"""Frozen features of a split, computed once and memory-mapped.

Shape letters: n images, M patches, D joint width.

A cache entry is a folder with two .npy files and a `meta.json` that says how many images are done; work that was
interrupted goes on there. Its name is a hash of everything that determines the features.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from trainer.backbone.clip import FrozenClip, PatchSource
from trainer.data.base import MultiLabelDataset, Split
from trainer.methods.base import Batch

CHUNK = 128
"""Images encoded between two records of progress."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


class BatchSource(Protocol):
    """Images of a split as a method takes them in."""

    @property
    def labels(self) -> np.ndarray:
        """(n, C) int8; 1, 0, -1 unknown."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The n images."""

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The chosen images."""

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""


@dataclass(frozen=True)
class FeatureStore:
    """Features and labels of a split.

    Attributes:
        image: (n, D) float16, memory-mapped.
        patches: (n, M, D) float16, memory-mapped.
        labels: (n, C) int8; 1, 0, -1 unknown.
        ids: the n images.
    """

    image: np.ndarray
    patches: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The chosen images, read from the disk into float32 tensors."""
        where = np.asarray(indices)
        return Batch(*(torch.from_numpy(part[where].astype(np.float32)) for part in self._parts()))

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""
        for start in range(0, len(self.labels), size):
            yield self.batch(np.arange(start, min(start + size, len(self.labels))))

    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.image, self.patches, self.labels


def feature_store(
    dataset: MultiLabelDataset,
    split: Split,
    clip: FrozenClip,
    patch_source: PatchSource,
    cache: Path,
    progress: Progress | None = None,
) -> FeatureStore:
    """The features of a split: from the cache, or computed into it.

    Raises:
        OSError: where the cache cannot be written.
    """
    folder = cache / "features" / _key(dataset, split, clip, patch_source)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        done = _done(folder)
        if done < len(split):
            _compute(split, clip, patch_source, folder, done, progress)
    image = np.load(folder / "image.npy", mmap_mode="r", allow_pickle=False)
    patches = np.load(folder / "patches.npy", mmap_mode="r", allow_pickle=False)
    return FeatureStore(image, patches, split.labels, split.ids)


def _key(dataset: MultiLabelDataset, split: Split, clip: FrozenClip, patch_source: PatchSource) -> str:
    parts = (
        dataset.fingerprint,
        split.name,
        hashlib.sha256("\n".join(split.ids).encode()).hexdigest(),
        clip.weights_hash,
        clip.preprocess.identity(),
        patch_source,
        "float16",
    )
    return f"{dataset.name}-{split.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def _done(folder: Path) -> int:
    try:
        return int(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["done"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0


def _record(folder: Path, done: int) -> None:
    temporary = folder / "meta.json.tmp"
    temporary.write_text(json.dumps({"done": done}), encoding="utf-8")
    temporary.replace(folder / "meta.json")


def _compute(
    split: Split, clip: FrozenClip, source: PatchSource, folder: Path, done: int, progress: Progress | None
) -> None:
    shape = {"image": (len(split), clip.dim), "patches": (len(split), clip.patches, clip.dim)}
    mode: Any = "r+" if done else "w+"
    stores = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode=mode, dtype=np.float16, shape=shape[name])
        for name in shape
    }
    for pixels in _pixels(split, clip, done):
        features = clip.encode_image(pixels.to(clip.device), source)
        for name, values in features._asdict().items():
            stores[name][done : done + len(values)] = values.cpu().numpy().astype(np.float16)
            stores[name].flush()
        done += len(pixels)
        _record(folder, done)
        if progress:
            progress(done, len(split))


class _Pixels(torch.utils.data.Dataset[Tensor]):
    """Images as the tower's input; picklable, for worker processes."""

    def __init__(self, split: Split, transform: Any, start: int) -> None:
        self.split, self.transform, self.start = split, transform, start

    def __len__(self) -> int:
        return len(self.split) - self.start

    def __getitem__(self, index: int) -> Tensor:
        pixels: Tensor = self.transform(self.split.image(self.start + index).convert("RGB"))
        return pixels


def _pixels(split: Split, clip: FrozenClip, start: int) -> Iterator[Tensor]:
    workers = min(os.cpu_count() or 1, 8)
    data = _Pixels(split, clip.preprocess.transform(), start)
    small = len(data) <= 2 * CHUNK
    yield from torch.utils.data.DataLoader(data, batch_size=CHUNK, num_workers=0 if small else workers)
