"""The image tower with extra tokens, deep prompts, and a choice of the first block.

All methods that change the tower's computation use this module, which calls open_clip's own blocks.

Shape letters: B images, L tokens (class token and M patches), K extra tokens, D joint width, Dv vision width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from trainer.backbone.clip import FrozenClip

Where = Literal["after class", "end"]


@dataclass(frozen=True)
class ExtraTokens:
    """Visual prompts: tokens that pass through the tower together with the image's.

    Attributes:
        tokens: (K, Dv), or (B, K, Dv); differentiable. They get no positional embedding.
        where: directly after the class token, or after the patches.
        before_norm: whether they pass `ln_pre`, as the image's tokens do, or are added after it.
        deep: tokens of the same shape that replace them before a block, by block index.
    """

    tokens: Tensor
    where: Where = "end"
    before_norm: bool = False
    deep: Mapping[int, Tensor] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """K."""
        return self.tokens.shape[-2]


class FrozenTokens(NamedTuple):
    """The activations of a frozen tower before a block, for B images."""

    image: Tensor
    """(B, D), the image feature of the whole tower."""
    tokens: Tensor
    """(B, L, Dv), the block's input."""


@torch.no_grad()
def frozen_tokens(clip: FrozenClip, pixels: Tensor, block: int) -> FrozenTokens:
    """The input of a block, and the image feature, for preprocessed images (B, 3, H, W).

    Raises:
        ValueError: no such block.
    """
    visual = clip.model.visual
    blocks = visual.transformer.resblocks
    if not 0 <= block < len(blocks):
        raise ValueError(f"{clip.name} has blocks 0 to {len(blocks) - 1}, not {block}")
    tokens = visual._embeds(pixels)
    for one in blocks[:block]:
        tokens = one(tokens)
    entering = tokens
    for one in blocks[block:]:
        tokens = one(tokens)
    return FrozenTokens(visual.ln_post(tokens[:, 0]) @ visual.proj, entering)


def encode_dense(clip: FrozenClip, start: Tensor, extra: ExtraTokens | None = None, block: int = 0) -> Tensor:
    """Every token of the image tower in the joint space, not normalised: ln_post, then the visual projection.

    Args:
        clip: the frozen model.
        start: (B, 3, H, W) preprocessed images; or (B, L, Dv), the input of `block` (see `frozen_tokens`).
        extra: visual prompts, from `block` on.
        block: the first block to run; 0 for images.

    Returns:
        (B, L + K, D), with the extra tokens at their positions. Differentiable with respect to the extra tokens.
    """
    visual = clip.model.visual
    with clip.autocast():
        tokens = _embed_image(clip, start, extra)
        for number, one in enumerate(visual.transformer.resblocks):
            if number < block:
                continue
            if extra is not None and number in extra.deep:
                tokens = _replace_deep(tokens, extra, extra.deep[number])
            tokens = one(tokens)
    return visual.ln_post(tokens.to(visual.proj.dtype)) @ visual.proj


def _embed_image(clip: FrozenClip, start: Tensor, extra: ExtraTokens | None) -> Tensor:
    visual = clip.model.visual
    tokens: Tensor = visual._embeds(start) if start.dim() == 4 else start
    if extra is None:
        return tokens
    # The norm is of each token on its own.
    added = visual.ln_pre(extra.tokens) if extra.before_norm else extra.tokens
    added = added.to(tokens.dtype).expand(len(tokens), -1, -1)
    if extra.where == "end":
        return torch.cat([tokens, added], dim=1)
    return torch.cat([tokens[:, :1], added, tokens[:, 1:]], dim=1)


def _replace_deep(tokens: Tensor, extra: ExtraTokens, deep: Tensor) -> Tensor:
    added, count = deep.to(tokens.dtype).expand(len(tokens), -1, -1), extra.count
    if extra.where == "end":
        return torch.cat([tokens[:, :-count], added], dim=1)
    return torch.cat([tokens[:, :1], added, tokens[:, 1 + count :]], dim=1)
