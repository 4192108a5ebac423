"""The feature cache: frozen features of a split, computed once and memory-mapped.

Shape letters: n images, M patches, D joint width.

A cache entry is a folder of .npy files with a `meta.json` that records the number of finished images, so that an
interrupted computation can be resumed. The folder's name contains a hash of everything that determines the features.
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
"""Images encoded between two updates of meta.json."""

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
        *encoding.cache_key(),
    )
    return f"{dataset.name}-{split.name}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"


def _mapped(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _done(folder: Path, encoding: Encoding, count: int) -> int:
    """The number of finished images in a cache entry; 0 if it is damaged, so that it is recomputed."""
    try:
        done = int(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["done"])
        for name, shape in encoding.shapes(count).items():
            array = _mapped(folder / f"{name}.npy")
            if array.shape != shape or array.dtype != ON_DISK[encoding.storage]:
                return 0
    except (FileNotFoundError, ValueError, KeyError, TypeError, EOFError):
        return 0
    return done


def cached_entries(cache: Path) -> dict[Path, str]:
    """All entries of the feature cache, with what is wrong with each; empty if it can be read.

    An entry that is not finished is not damaged: its computation goes on where it stopped.
    """
    return {folder: _problem(folder) for folder in sorted((cache / "features").iterdir()) if folder.is_dir()}


def _problem(folder: Path) -> str:
    try:
        if (folder / "meta.json").is_file():
            int(json.loads((folder / "meta.json").read_text(encoding="utf-8"))["done"])
            for path in folder.glob("*.npy"):
                _mapped(path)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


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
        for name, values in encoding.encode_for_storage(pixels).items():
            stores[name][done : done + len(values)] = values.cpu().view(torch.uint16).numpy().view(type_)
            stores[name].flush()
        done += len(pixels)
        _record(folder, done)
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
    small = len(data) <= 2 * CHUNK
    yield from torch.utils.data.DataLoader(data, batch_size=size, num_workers=0 if small else workers)
