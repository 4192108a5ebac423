"""The image tower with a second, local stream (RAM, Tan et al., CVPR 2025).

Beside CLIP's own stream, a local one adds up the results of each block's attention among values: tokens attend to those
with similar values, which keeps patches local. The local stream never enters a block, so that the patches' part of it
suffices.

Shape letters: B images, L = 1 + M tokens, M patches, K extra tokens, D joint width, Dv vision width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainer.backbone.block import attend, finish_block, project_qkv
from trainer.backbone.clip import FrozenClip


class FrozenStreams(NamedTuple):
    """Both streams of the frozen tower before a block, and its features, for B images."""

    image: Tensor
    """(B, D), the image feature of the whole tower."""
    patches: Tensor
    """(B, M, D), the features of the local stream after the last block."""
    tokens: Tensor
    """(B, L, Dv), the block's input."""
    local: Tensor
    """(B, M, Dv), the local stream of the patches."""


@torch.no_grad()
def frozen_streams(clip: FrozenClip, pixels: Tensor, block: int) -> FrozenStreams:
    """Both streams before a block, and the features of the whole tower, for preprocessed images (B, 3, H, W).

    Raises:
        ValueError: no such block.
    """
    blocks = clip.model.visual.transformer.resblocks
    if not 0 <= block < len(blocks):
        raise ValueError(f"{clip.name} has blocks 0 to {len(blocks) - 1}, not {block}")
    tokens = clip.model.visual._embeds(pixels)
    local = tokens[:, 1:]
    entering = tokens, local
    for number, one in enumerate(blocks):
        if number == block:
            entering = tokens, local
        tokens, added = run_both(one, tokens)
        local = local + added
    return FrozenStreams(to_joint(clip, tokens[:, 0]), to_joint(clip, local), *entering)


def run_both(block: Any, tokens: Tensor, prompts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Run a block on CLIP's stream, with prompts that take part in its attention and are dropped after it.

    Args:
        block: an open_clip `ResidualAttentionBlock`.
        tokens: (B, L, Dv).
        prompts: (K, Dv), appended to every image's tokens.

    Returns:
        CLIP's stream after the block, (B, L, Dv), and what the local stream of the patches gains, (B, M, Dv).
    """
    length = tokens.shape[1]
    if prompts is not None:
        tokens = torch.cat([tokens, prompts.to(tokens.dtype).expand(len(tokens), -1, -1)], dim=1)
    query, key, value = project_qkv(block, tokens)
    own = value[:, :, :length]
    added = block.attn.out_proj(attend(own[:, :, 1:], own, own))
    return finish_block(block, tokens, attend(query, key, value))[:, :length], added


def to_joint(clip: FrozenClip, tokens: Tensor) -> Tensor:
    """Tokens (…, Dv) in the joint space, (…, D), not normalised: ln_post, then the visual projection."""
    visual = clip.model.visual
    joint: Tensor = visual.ln_post(tokens.to(visual.proj.dtype)) @ visual.proj
    return joint
