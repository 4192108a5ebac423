"""Images that are read each time they are used: as pixels, or encoded on the way without a feature cache.

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

KEPT_BYTES = 512 * 2**20
"""A split whose preprocessed pixels are smaller stays in memory once read."""

READERS = 4
"""Threads that read the images of one batch."""


class PixelSource:
    """Reads, preprocesses and batches a split's images; small splits are read once.

    Args:
        split: the images and their labels.
        transform: from a PIL image to a (3, H, W) tensor.
    """

    def __init__(self, split: Split, transform: Any) -> None:
        self.split, self.transform = split, transform
        self.kept: dict[int, Tensor] = {}

    @property
    def labels(self) -> np.ndarray:
        """(n, C) int8; 1, 0, -1 unknown."""
        return self.split.labels

    @property
    def ids(self) -> tuple[str, ...]:
        """The n images."""
        return self.split.ids

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The chosen images: pixels (B, 3, H, W), and no features."""
        where = [int(index) for index in indices]
        labels = torch.from_numpy(self.split.labels[where].astype(np.float32))
        return Batch.of(labels, pixels=torch.stack([self._one(index) for index in where]))

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order."""
        for start in range(0, len(self.split), size):
            yield self.batch(list(range(start, min(start + size, len(self.split)))))

    def _one(self, index: int) -> Tensor:
        if index in self.kept:
            return self.kept[index]
        pixels: Tensor = self.transform(self.split.image(index).convert("RGB"))
        if pixels.nbytes * len(self.split) <= KEPT_BYTES:
            self.kept[index] = pixels
        return pixels


class EncodedImages(PixelSource):
    """A split's images through the frozen tower, a batch at a time; no feature is kept.

    Features are rounded to the cache's type, so that a run with a cache and one without see the same numbers.

    Args:
        split: the images and their labels.
        encoding: how.
    """

    def __init__(self, split: Split, encoding: Encoding) -> None:
        super().__init__(split, encoding.clip.preprocess.transform())
        self.encoding = encoding

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The chosen images, in float32 on the tower's device."""
        where = np.asarray(indices)
        with ThreadPoolExecutor(READERS) as readers:
            pixels = torch.stack(list(readers.map(self._one, where.tolist())))
        return self._batch(pixels, where)

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, read ahead by worker processes."""
        start = 0
        for pixels in pixel_batches(self.split, self.encoding.clip, size):
            yield self._batch(pixels, np.arange(start, start + len(pixels)))
            start += len(pixels)

    def _batch(self, pixels: Tensor, where: np.ndarray) -> Batch:
        parts = {name: values.float() for name, values in self.encoding.rounded(pixels).items()}
        labels = torch.from_numpy(self.split.labels[where].astype(np.float32))
        return Batch.of(labels.to(self.encoding.clip.device), **parts)
