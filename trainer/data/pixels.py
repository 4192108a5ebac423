"""Images of a split as pixels, for methods whose image path is not frozen. Shape letters: n images, B of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data.base import Split
from trainer.methods.base import Batch

KEPT_BYTES = 512 * 2**20
"""A split whose preprocessed pixels are smaller stays in memory once read."""


def pixel_batch(pixels: Tensor, labels: Tensor) -> Batch:
    """A batch of preprocessed pixels (B, 3, H, W) and labels (B, C), without features."""
    count = len(pixels)
    return Batch(pixels.new_empty(count, 0), pixels.new_empty(count, 0, 0), labels, pixels)


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
        return pixel_batch(torch.stack([self._one(index) for index in where]), labels)

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
