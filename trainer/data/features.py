"""The feature cache: frozen features of a split, computed once and memory-mapped.

Shape letters: n images, M patches, D joint width.

An interrupted computation is resumed; a damaged entry counts as missing (see `trainer.data.feature_entry`). A complete
entry is only read, so the cache may be a shared, read-only folder.
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
from trainer.data import feature_entry
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.batches import Batch
from trainer.data.encoding import ON_DISK, Encoding
from trainer.data.feature_entry import CacheEntry, checksum
from trainer.errors import TrainerError

Progress = Callable[[int, int], None]
"""Called with (images done, total)."""


@dataclass(frozen=True)
class FeatureStore:
    """The features and labels of a split.

    Attributes:
        arrays: memory-mapped features of n images by field name of `Batch`; float16, or bfloat16 bits as uint16.
        labels: (n, C) int8; 1, 0, -1 unknown.
        ids: of the n images.
    """

    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray
    ids: tuple[str, ...]

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The images at some indices, as float32 tensors."""
        rows = np.asarray(indices)
        parts = {name: _to_float32(torch.from_numpy(array[rows])) for name, array in self.arrays.items()}
        return Batch.of(torch.from_numpy(self.labels[rows].astype(np.float32)), **parts)

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, in batches."""
        for start in range(0, len(self.labels), size):
            yield self.batch(np.arange(start, min(start + size, len(self.labels))))


def _to_float32(stored: Tensor) -> Tensor:
    return (stored.view(torch.bfloat16) if stored.dtype == torch.uint16 else stored).float()


def feature_store(
    dataset: MultiLabelDataset,
    split: Split,
    encoding: Encoding,
    cache: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> FeatureStore:
    """The features of a split from the cache, where they are computed first if necessary.

    Args:
        dataset, split: the images.
        encoding: how to encode them.
        cache: the cache folder.
        progress: called during the computation.
        say: receives a message with the size before the computation.

    Raises:
        TrainerError: not enough disk space.
        OSError: the cache cannot be written.
    """
    folder = cache / "features" / _key(dataset, split, encoding)
    entry = CacheEntry(folder, encoding, len(split))
    if not entry.complete():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            done, problem = entry.done()
            if problem and say:
                place = f"features of {split.name} in {folder}"
                say(f"{place} are damaged ({problem}): encoded again from image {done:,} on")
            if done < len(split):
                _announce(split, encoding, folder, done, say)
                _compute(split, entry, done, progress)
    return FeatureStore({name: entry.array(name) for name in entry.shapes}, split.labels, split.ids)


def _key(dataset: MultiLabelDataset, split: Split, encoding: Encoding) -> str:
    parts = (
        dataset.fingerprint,
        split.name,
        hashlib.sha256("\n".join(split.ids).encode()).hexdigest(),
        *encoding.cache_key(),
    )
    return f"{dataset.name}-{split.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def _announce(split: Split, encoding: Encoding, folder: Path, done: int, say: Callable[[str], None] | None) -> None:
    """Report the size of the features; an error if there is not enough disk space for the missing ones."""
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


def _compute(split: Split, entry: CacheEntry, done: int, progress: Progress | None) -> None:
    stores = {name: entry.array(name, "r+" if done else "w+") for name in entry.shapes}
    sums = entry.sums(done) if done else {name: [] for name in entry.shapes}
    for pixels in pixel_batches(split, entry.encoding.clip, feature_entry.CHUNK, done):
        for name, values in entry.encoding.encode_for_storage(pixels).items():
            rows = stores[name][done : done + len(values)]
            rows[:] = values.cpu().view(torch.uint16).numpy().view(entry.type)
            stores[name].flush()
            sums[name].append(checksum(rows))
        done += len(pixels)
        entry.record(done, sums)
        if progress:
            progress(done, len(split))


class _Pixels(torch.utils.data.Dataset[Tensor]):
    """Preprocessed images; picklable, for worker processes."""

    def __init__(self, split: Split, transform: Any, start: int) -> None:
        self.split, self.transform, self.start = split, transform, start

    def __len__(self) -> int:
        return len(self.split) - self.start

    def __getitem__(self, index: int) -> Tensor:
        pixels: Tensor = self.transform(self.split.image(self.start + index).convert("RGB"))
        return pixels


def pixel_batches(split: Split, clip: FrozenClip, size: int, start: int = 0) -> Iterator[Tensor]:
    """Batches (size, 3, H, W) of preprocessed images from index `start` on, prefetched by worker processes."""
    workers = min(os.cpu_count() or 1, 8)
    data = _Pixels(split, clip.preprocess.transform(), start)
    small = len(data) <= 2 * feature_entry.CHUNK
    yield from torch.utils.data.DataLoader(data, batch_size=size, num_workers=0 if small else workers)
