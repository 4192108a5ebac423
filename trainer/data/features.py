"""Frozen features of a split, computed once and memory-mapped.

Shape letters: n images, M patches, D joint width.

A cache entry is a folder with .npy files and a `meta.json` that says how many images are done; work that was
interrupted goes on there. Its name is a hash of everything that determines the features.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from fedmpt.common.words import format_bytes
from trainer.backbone.clip import FrozenClip
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.batches import Batch
from trainer.data.encoding import ON_DISK, Encoding
from trainer.errors import TrainerError

CHUNK = 128
"""Images encoded between two records of progress."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True)
class FeatureStore:
    """Features and labels of a split.

    Attributes:
        arrays: by their names in a `Batch`, with n images each: float16, or the bits of bfloat16 as uint16;
            memory-mapped.
        labels: (n, C) int8; 1, 0, -1 unknown.
        ids: the n images.
    """

    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray
    ids: tuple[str, ...]

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The chosen images, read from the disk into float32 tensors."""
        where = np.asarray(indices)
        parts = {name: _floats(torch.from_numpy(array[where])) for name, array in self.arrays.items()}
        return Batch.of(torch.from_numpy(self.labels[where].astype(np.float32)), **parts)

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""
        for start in range(0, len(self.labels), size):
            yield self.batch(np.arange(start, min(start + size, len(self.labels))))


def _floats(kept: Tensor) -> Tensor:
    return (kept.view(torch.bfloat16) if kept.dtype == torch.uint16 else kept).float()


def feature_store(
    dataset: MultiLabelDataset,
    split: Split,
    encoding: Encoding,
    cache: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> FeatureStore:
    """The features of a split: from the cache, or computed into it.

    Args:
        dataset, split: whose.
        encoding: how.
        cache: the folder of all caches.
        progress: called while they are computed.
        say: told beforehand how large they become.

    Raises:
        TrainerError: where the disk has no room for them.
        OSError: where the cache cannot be written.
    """
    folder = cache / "features" / _key(dataset, split, encoding)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        done = _done(folder, encoding, len(split))
        if done < len(split):
            _announce(split, encoding, folder, done, say)
            _compute(split, encoding, folder, done, progress)
    arrays = {name: _mapped(folder / f"{name}.npy") for name in encoding.shapes(len(split))}
    return FeatureStore(arrays, split.labels, split.ids)


def _key(dataset: MultiLabelDataset, split: Split, encoding: Encoding) -> str:
    parts = (
        dataset.fingerprint,
        split.name,
        hashlib.sha256("\n".join(split.ids).encode()).hexdigest(),
        *encoding.identity(),
    )
    return f"{dataset.name}-{split.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def _mapped(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _done(folder: Path, encoding: Encoding, count: int) -> int:
    """How many images the entry has; 0 too where its files are damaged, and all of it is made anew."""
    try:
        done = int(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["done"])
        for name, shape in encoding.shapes(count).items():
            array = _mapped(folder / f"{name}.npy")
            if array.shape != shape or array.dtype != ON_DISK[encoding.storage]:
                return 0
    except (FileNotFoundError, ValueError, KeyError, TypeError, EOFError):
        return 0
    return done


def _announce(split: Split, encoding: Encoding, folder: Path, done: int, say: Callable[[str], None] | None) -> None:
    """Say how large the features become, and stop where the disk has no room for what is missing."""
    count = len(split)
    numbers = encoding.bytes_of(1) // ON_DISK[encoding.storage].itemsize
    size = (
        f"features of {split.name}: {count:,} images × {numbers:,} numbers × {ON_DISK[encoding.storage].itemsize} "
        f"bytes = {format_bytes(encoding.bytes_of(count))} in {folder}"
    )
    missing, free = encoding.bytes_of(count - done), shutil.disk_usage(folder).free
    if missing > free:
        raise TrainerError(
            f"{size}, but only {format_bytes(free)} are free there: choose another --cache-dir, "
            "or --no-feature-cache, which encodes images each time they are used"
        )
    if say:
        say(f"{size}, {done:,} images done" if done else size)


def _record(folder: Path, done: int) -> None:
    temporary = folder / "meta.json.tmp"
    temporary.write_text(json.dumps({"done": done}), encoding="utf-8")
    temporary.replace(folder / "meta.json")


def _compute(split: Split, encoding: Encoding, folder: Path, done: int, progress: Progress | None) -> None:
    mode: Any = "r+" if done else "w+"
    type_ = ON_DISK[encoding.storage]
    stores = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode=mode, dtype=type_, shape=shape)
        for name, shape in encoding.shapes(len(split)).items()
    }
    for pixels in pixel_batches(split, encoding.clip, CHUNK, done):
        for name, values in encoding.rounded(pixels).items():
            stores[name][done : done + len(values)] = values.cpu().view(torch.uint16).numpy().view(type_)
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


def pixel_batches(split: Split, clip: FrozenClip, size: int, start: int = 0) -> Iterator[Tensor]:
    """Images from an index on as the tower's input, (size, 3, H, W) each, read ahead by worker processes."""
    workers = min(os.cpu_count() or 1, 8)
    data = _Pixels(split, clip.preprocess.transform(), start)
    small = len(data) <= 2 * CHUNK
    yield from torch.utils.data.DataLoader(data, batch_size=size, num_workers=0 if small else workers)
