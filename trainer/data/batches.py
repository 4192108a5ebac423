"""Batches, the input of methods, and their sources.

Shape letters: n images, B of them, M patches, L tokens, C labels, D (Dv) joint (vision) width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """A method's input for B images, and their labels. Inputs that the method does not use are empty or None."""

    image: Tensor
    """(B, D), the image feature; (B, 0) if the method reads pixels."""
    patches: Tensor
    """(B, M, D); (B, 0, 0) if the method reads pixels or tokens."""
    labels: Tensor
    """(B, C) float; 1 present, 0 absent, -1 unknown."""
    pixels: Tensor | None = None
    """(B, 3, H, W), preprocessed."""
    tokens: Tensor | None = None
    """(B, L, Dv), the input of block k of the image tower."""
    local: Tensor | None = None
    """(B, M, Dv), the local stream of the patches before block k (see `trainer.backbone.streams`)."""

    @classmethod
    def of(
        cls,
        labels: Tensor,
        image: Tensor | None = None,
        patches: Tensor | None = None,
        pixels: Tensor | None = None,
        tokens: Tensor | None = None,
        local: Tensor | None = None,
    ) -> Batch:
        """A batch; missing image and patch features become empty tensors."""
        count = labels.shape[0]  # not len(), which fixes the number of images when the model is traced
        return cls(
            labels.new_empty(count, 0) if image is None else image,
            labels.new_empty(count, 0, 0) if patches is None else patches,
            labels,
            pixels,
            tokens,
            local,
        )

    def dense(self) -> Tensor:
        """All tokens of the image tower in the joint space: the image feature and the patches, (B, 1 + M, D)."""
        return torch.cat([self.image[:, None], self.patches], dim=1)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device, in float32."""
        return Batch(*(None if part is None else part.to(device, torch.float32) for part in self))  # type: ignore[arg-type]


class BatchSource(Protocol):
    """Provides the images of a split as a method's input."""

    @property
    def labels(self) -> np.ndarray:
        """(n, C) int8; 1, 0, -1 unknown."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The n image ids."""

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        """The images at some indices."""

    def batches(self, size: int) -> Iterator[Batch]:
        """All images in order, in batches."""
