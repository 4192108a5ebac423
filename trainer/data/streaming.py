"""Batch sources without a feature cache: images are read each time they are used, as pixels or encoded on the fly.

Shape letters: n images of a split, B of a batch, C labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data.base import Split
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding
from trainer.data.features import pixel_batches

MAX_CACHED_BYTES = 512 * 2**20
"""A split whose preprocessed pixels are not larger is kept in memory after the first read."""

READERS = 4
"""Threads that read the images of a batch."""


class PixelSource:
    """Reads, preprocesses and batches a split's images; small splits are cached in memory.

    Args:
        split: the images and their labels.
        transform: maps a PIL image to a (3, H, W) tensor.
    """

    def __init__(self, split: Split, transform: Any) -> None:
        self.split, self.transform = split, transform
        self.cached: dict[int, Tensor] = {}

    @property
    def labels(self) -> np.ndarray:
        """(n, C) int8; 1, 0, -1 unknown."""
        return self.split.labels

    @property
    def ids(self) -> tuple[str, ...]:
        """The n image ids."""
        return self.split.ids

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The images at some indices: pixels (B, 3, H, W), and no features."""
        rows = [int(index) for index in indices]
        labels = torch.from_numpy(self.split.labels[rows].astype(np.float32))
        return Batch.of(labels, pixels=torch.stack([self._pixels(index) for index in rows]))

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, in batches."""
        for start in range(0, len(self.split), size):
            yield self.batch(list(range(start, min(start + size, len(self.split)))))

    def _pixels(self, index: int) -> Tensor:
        if index in self.cached:
            return self.cached[index]
        pixels: Tensor = self.transform(self.split.image(index).convert("RGB"))
        if pixels.nbytes * len(self.split) <= MAX_CACHED_BYTES:
            self.cached[index] = pixels
        return pixels


class EncodedImages(PixelSource):
    """Encodes a split's images batch by batch with the frozen tower, without caching features.

    Features are rounded to the storage type, so that results are the same with and without a feature cache.

    Args:
        split: the images and their labels.
        encoding: how to encode them.
    """

    def __init__(self, split: Split, encoding: Encoding) -> None:
        super().__init__(split, encoding.clip.preprocess.transform())
        self.encoding = encoding

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The images at some indices, in float32 on the tower's device."""
        rows = np.asarray(indices)
        with ThreadPoolExecutor(READERS) as readers:
            pixels = torch.stack(list(readers.map(self._pixels, rows.tolist())))
        return self._batch(pixels, rows)

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, in batches, prefetched by worker processes."""
        start = 0
        for pixels in pixel_batches(self.split, self.encoding.clip, size):
            yield self._batch(pixels, np.arange(start, start + len(pixels)))
            start += len(pixels)

    def _batch(self, pixels: Tensor, rows: np.ndarray) -> Batch:
        parts = {name: values.float() for name, values in self.encoding.encode_for_storage(pixels).items()}
        labels = torch.from_numpy(self.split.labels[rows].astype(np.float32))
        return Batch.of(labels.to(self.encoding.clip.device), **parts)
