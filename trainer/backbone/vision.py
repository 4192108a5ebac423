"""The image tower from the inside: extra tokens, deep prompts, and starting at any block.

open_clip's own blocks are driven from here; methods that change what runs through the tower come in by this door.

Shape letters: B images, L tokens (class token and M patches), K extra tokens, D joint width, Dv vision width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from trainer.backbone.clip import FrozenClip

Where = Literal["behind class", "end"]


@dataclass(frozen=True)
class ExtraTokens:
    """Tokens that go through the tower beside the image's own.

    Attributes:
        tokens: (K, Dv), or (B, K, Dv); differentiable. They get no positional embedding.
        where: right behind the class token, or behind the patches.
        before_norm: whether they pass `ln_pre` with the image's tokens; else they come in behind it.
        deep: tokens of the same shape that take their place before a block, by its number.
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
    """What a frozen tower has made of B images up to some block."""

    image: Tensor
    """(B, D), the image feature of the whole tower."""
    tokens: Tensor
    """(B, L, Dv), what enters the block."""


@torch.no_grad()
def frozen_tokens(clip: FrozenClip, pixels: Tensor, block: int) -> FrozenTokens:
    """What enters a block, and the image feature, of preprocessed images (B, 3, H, W).

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
        start: (B, 3, H, W) preprocessed images; or (B, L, Dv), what enters `block` (see `frozen_tokens`).
        extra: tokens beside the image's own, from `block` on.
        block: where `start` enters; 0 for images.

    Returns:
        (B, L + K, D), extra tokens where `extra` puts them. Differentiable with respect to the extra tokens.

    Raises:
        ValueError: tokens that should pass `ln_pre`, behind which `start` lies already.
    """
    visual = clip.model.visual
    with clip.autocast():
        tokens = _started(clip, start, extra)
        for number, one in enumerate(visual.transformer.resblocks):
            if number < block:
                continue
            if extra is not None and number in extra.deep:
                tokens = _replaced(tokens, extra, extra.deep[number])
            tokens = one(tokens)
    return visual.ln_post(tokens.to(visual.proj.dtype)) @ visual.proj


def _started(clip: FrozenClip, start: Tensor, extra: ExtraTokens | None) -> Tensor:
    visual = clip.model.visual
    if start.dim() == 4 and (extra is None or not extra.before_norm):
        start = visual._embeds(start)
    if extra is None:
        return start
    if not extra.before_norm:
        return _placed(start, extra)
    if start.dim() != 4:
        raise ValueError("these tokens lie behind ln_pre, so no extra token can pass it with them: start from pixels")
    patches = visual.conv1(start).flatten(2).mT
    own = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens = torch.cat([own, patches], dim=1) + visual.positional_embedding.to(patches.dtype)
    return visual.ln_pre(_placed(tokens, extra))


def _placed(tokens: Tensor, extra: ExtraTokens) -> Tensor:
    added = extra.tokens.to(tokens.dtype).expand(len(tokens), -1, -1)
    if extra.where == "end":
        return torch.cat([tokens, added], dim=1)
    return torch.cat([tokens[:, :1], added, tokens[:, 1:]], dim=1)


def _replaced(tokens: Tensor, extra: ExtraTokens, deep: Tensor) -> Tensor:
    added, count = deep.to(tokens.dtype).expand(len(tokens), -1, -1), extra.count
    if extra.where == "end":
        return torch.cat([tokens[:, :-count], added], dim=1)
    return torch.cat([tokens[:, :1], added, tokens[:, 1 + count :]], dim=1)
