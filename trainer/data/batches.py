"""What a method takes in: a batch of images, and where batches come from.

Shape letters: n images, B of them, M patches, L tokens, C labels, D (Dv) joint (vision) width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """What a method reads of B images, and their labels. What it doesn't read is empty, or None."""

    image: Tensor
    """(B, D), the image feature; (B, 0) beside pixels."""
    patches: Tensor
    """(B, M, D); (B, 0, 0) beside pixels or tokens."""
    labels: Tensor
    """(B, C) float; 1 present, 0 absent, -1 unknown."""
    pixels: Tensor | None = None
    """(B, 3, H, W), preprocessed."""
    tokens: Tensor | None = None
    """(B, L, Dv), what enters the image tower's block k."""

    @classmethod
    def of(
        cls,
        labels: Tensor,
        image: Tensor | None = None,
        patches: Tensor | None = None,
        pixels: Tensor | None = None,
        tokens: Tensor | None = None,
    ) -> Batch:
        """A batch of what there is."""
        count = len(labels)
        return cls(
            labels.new_empty(count, 0) if image is None else image,
            labels.new_empty(count, 0, 0) if patches is None else patches,
            labels,
            pixels,
            tokens,
        )

    def to(self, device: torch.device) -> Batch:
        """On another device, in float32."""
        return Batch(*(None if part is None else part.to(device, torch.float32) for part in self))  # type: ignore[arg-type]


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
