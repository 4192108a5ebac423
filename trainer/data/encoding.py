"""What a method reads of an image, and how a frozen tower makes it.

Shape letters: B images, M patches, L = 1 + M tokens, D joint width, Dv vision width.

A method's `reads` is "features" (the image path is frozen: image feature and patches), "tokens@k" (it is frozen up to
block k: what enters block k, and the image feature), or "pixels".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.backbone.clip import FrozenClip, PatchSource
from trainer.backbone.vision import frozen_tokens
from trainer.data.batches import Batch

Storage = Literal["float16", "bfloat16"]
"""Type in which features are kept."""

ON_DISK = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(np.uint16)}
"""NumPy's type of a file, by storage type. It has no bfloat16: its bits stand there as uint16."""


def frozen_blocks(reads: str) -> int | None:
    """k of "tokens@k"; None for "features" and "pixels".

    Raises:
        ValueError: none of the three.
    """
    if reads in ("features", "pixels"):
        return None
    found = re.fullmatch(r"tokens@(\d+)", reads)
    if found is None:
        raise ValueError(f"a method reads features, tokens@k or pixels, not '{reads}'")
    return int(found[1])


@dataclass(frozen=True)
class Encoding:
    """What features are made with.

    Attributes:
        clip: the frozen tower.
        patch_source: which patches.
        storage: in which type they are kept.
        block: None, the image feature and the patches; else the image feature and what enters this block.
    """

    clip: FrozenClip
    patch_source: PatchSource = "last"
    storage: Storage = "float16"
    block: int | None = None

    def shapes(self, count: int) -> dict[str, tuple[int, ...]]:
        """Of the arrays of so many images, by their names in a `Batch`."""
        clip = self.clip
        image = {"image": (count, clip.dim)}
        if self.block is None:
            return {**image, "patches": (count, clip.patches, clip.dim)}
        return {**image, "tokens": (count, 1 + clip.patches, clip.vision_width)}

    def bytes_of(self, count: int) -> int:
        """Size of the features of so many images."""
        return sum(int(np.prod(shape)) for shape in self.shapes(count).values()) * ON_DISK[self.storage].itemsize

    def identity(self) -> tuple[str, ...]:
        """Texts that differ where two encodings differ (part of the feature cache's key)."""
        block = () if self.block is None else (f"block {self.block}",)
        clip = self.clip
        return (clip.weights_hash, clip.preprocess.identity(), self.patch_source, self.storage, *block)

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """Features of preprocessed images (B, 3, H, W), by their names in a `Batch`, not rounded."""
        pixels = pixels.to(self.clip.device)
        if self.block is not None:
            return frozen_tokens(self.clip, pixels, self.block)._asdict()
        return self.clip.encode_image(pixels, self.patch_source)._asdict()

    def rounded(self, pixels: Tensor) -> dict[str, Tensor]:
        """The same in the type in which they are kept."""
        kept = torch.float16 if self.storage == "float16" else torch.bfloat16
        return {name: values.to(kept) for name, values in self.encode(pixels).items()}


def batch_of_pixels(reads: str, encoding: Encoding, pixels: Tensor, labels: Tensor) -> Batch:
    """Preprocessed images (B, 3, H, W) as a method takes them in, without any cache."""
    if reads == "pixels":
        return Batch.of(labels, pixels=pixels)
    return Batch.of(labels, **encoding.encode(pixels))
