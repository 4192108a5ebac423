"""Encode images with the frozen tower into the input that a method reads.

Shape letters: B images, M patches, L = 1 + M tokens, D joint width, Dv vision width.

A method's `reads` is "features" (the image path is frozen: image and patch features), "tokens@k" (it is frozen up to
block k: the input of block k, and the image feature), "streams@k" (the same for a tower with a local stream, whose
frozen features are the patches), or "pixels".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.backbone.clip import FrozenClip, PatchSource
from trainer.backbone.streams import frozen_streams
from trainer.backbone.vision import frozen_tokens
from trainer.data.batches import Batch

Storage = Literal["float16", "bfloat16"]
"""Data type of stored features."""

ON_DISK = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(np.uint16)}
"""NumPy's dtype of the files. NumPy has no bfloat16, so its bits are stored as uint16."""


@dataclass(frozen=True)
class Encoding:
    """How images are encoded.

    Attributes:
        clip: the frozen model.
        patch_source: see `FrozenClip.encode_image`.
        storage: data type of the stored features.
        block: None: image and patch features; otherwise the image feature and the input of this block.
        streams: whether there is a local stream, see `trainer.backbone.streams`.
    """

    clip: FrozenClip
    patch_source: PatchSource = "last"
    storage: Storage = "float16"
    block: int | None = None
    streams: bool = False

    @classmethod
    def of(
        cls, clip: FrozenClip, reads: str, patch_source: PatchSource = "last", storage: Storage = "float16"
    ) -> Encoding:
        """The encoding for a method's `reads`; for "pixels", which needs none, that of "features".

        Raises:
            ValueError: no such `reads`.
        """
        if reads in ("features", "pixels"):
            return cls(clip, patch_source, storage)
        found = re.fullmatch(r"(tokens|streams)@(\d+)", reads)
        if found is None:
            raise ValueError(f"a method reads features, tokens@k, streams@k or pixels, not '{reads}'")
        return cls(clip, patch_source, storage, int(found[2]), found[1] == "streams")

    def shapes(self, count: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the feature arrays of `count` images, by field name of `Batch`."""
        clip = self.clip
        image = {"image": (count, clip.dim)}
        if self.block is None:
            return {**image, "patches": (count, clip.patches, clip.dim)}
        tokens = {**image, "tokens": (count, 1 + clip.patches, clip.vision_width)}
        if not self.streams:
            return tokens
        own = {"patches": (count, clip.patches, clip.dim), "local": (count, clip.patches, clip.vision_width)}
        return {**tokens, **own}

    def bytes_of(self, count: int) -> int:
        """Size in bytes of the features of `count` images."""
        return sum(int(np.prod(shape)) for shape in self.shapes(count).values()) * ON_DISK[self.storage].itemsize

    def cache_key(self) -> tuple[str, ...]:
        """The encoding's part of the feature cache key."""
        block = () if self.block is None else (f"{'streams' if self.streams else 'block'} {self.block}",)
        clip = self.clip
        return (clip.weights_hash, clip.preprocess.identity(), self.patch_source, self.storage, *block)

    def encode(self, pixels: Tensor) -> dict[str, Tensor]:
        """Features of preprocessed images (B, 3, H, W) by field name of `Batch`, in full precision."""
        pixels = pixels.to(self.clip.device)
        if self.block is not None:
            frozen = frozen_streams if self.streams else frozen_tokens
            return frozen(self.clip, pixels, self.block)._asdict()
        return self.clip.encode_image(pixels, self.patch_source)._asdict()

    def encode_for_storage(self, pixels: Tensor) -> dict[str, Tensor]:
        """The same, rounded to the storage type."""
        dtype = torch.float16 if self.storage == "float16" else torch.bfloat16
        return {name: values.to(dtype) for name, values in self.encode(pixels).items()}


def batch_of_pixels(reads: str, encoding: Encoding, pixels: Tensor, labels: Tensor) -> Batch:
    """A method's input from preprocessed images (B, 3, H, W), without a cache."""
    if reads == "pixels":
        return Batch.of(labels, pixels=pixels)
    return Batch.of(labels, **encoding.encode(pixels))
