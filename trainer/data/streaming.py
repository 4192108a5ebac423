"""Frozen features without a cache: images are read and encoded each time they are used. n images, B of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from trainer.data.base import Split
from trainer.data.features import Encoding, pixel_batches
from trainer.data.pixels import PixelSource
from trainer.methods.base import Batch

READERS = 4
"""Threads that read the images of one batch."""


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
        image, patches = self.encoding.encode(pixels)
        labels = torch.from_numpy(self.split.labels[where].astype(np.float32))
        return Batch(image.float(), patches.float(), labels.to(image.device))
