"""What a method takes in: a batch of images, and where batches come from.

Shape letters: n images, B of them, M patches, C labels, D joint width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """Frozen features and labels of B images; for methods whose inputs are pixels, pixels in place of features."""

    image: Tensor
    """(B, D); (B, 0) beside pixels."""
    patches: Tensor
    """(B, M, D); (B, 0, 0) beside pixels."""
    labels: Tensor
    """(B, C) float; 1 present, 0 absent, -1 unknown."""
    pixels: Tensor | None = None
    """(B, 3, H, W), preprocessed."""

    def to(self, device: torch.device) -> Batch:
        """On another device, in float32."""
        image, patches, labels = (part.to(device, torch.float32) for part in self[:3])
        return Batch(image, patches, labels, None if self.pixels is None else self.pixels.to(device, torch.float32))


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
