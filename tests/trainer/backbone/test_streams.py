"""The tower with a local stream: CLIP's stream as it was, the local one as RAM's paper writes it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.trainer.tiny import random_clip
from trainer.backbone.streams import frozen_streams, run_both, to_joint

CLIP = random_clip(vision_layers=3).double()
VISUAL = CLIP.model.visual
BLOCKS = VISUAL.transformer.resblocks
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def value_attention(number: int, tokens: Tensor) -> Tensor:
    """softmax(v vᵀ / √d) v of every head, through the block's output projection."""
    attention = BLOCKS[number].attn
    width = tokens.shape[-1] // attention.num_heads
    weight, bias = attention.in_proj_weight[-tokens.shape[-1] :], attention.in_proj_bias[-tokens.shape[-1] :]
    values = BLOCKS[number].ln_1(tokens) @ weight.T + bias
    heads = [v @ v.mT / width**0.5 for v in values.split(width, dim=-1)]
    found = [scores.softmax(-1) @ v for scores, v in zip(heads, values.split(width, dim=-1), strict=True)]
    result: Tensor = attention.out_proj(torch.cat(found, dim=-1))
    return result


@pytest.mark.parametrize("block", range(3))
@torch.no_grad()
def test_both_streams_before_a_block_and_the_features_of_the_whole_tower(block: int) -> None:
    tokens = VISUAL._embeds(PIXELS)
    local, before = tokens, {}
    for number, one in enumerate(BLOCKS):
        before[number] = (tokens, local[:, 1:])
        local = local + value_attention(number, tokens)
        tokens = one(tokens)
    found = frozen_streams(CLIP, PIXELS, block)
    torch.testing.assert_close((found.tokens, found.local), before[block])
    torch.testing.assert_close(found.image, CLIP.encode_image(PIXELS).image)
    torch.testing.assert_close(found.patches, (VISUAL.ln_post(local) @ VISUAL.proj)[:, 1:])
    torch.testing.assert_close(found.patches, to_joint(CLIP, local[:, 1:]))


@torch.no_grad()
def test_prompts_are_seen_by_clips_stream_and_not_by_the_local_one() -> None:
    tokens = VISUAL._embeds(PIXELS)
    prompts = torch.randn(4, CLIP.vision_width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, added = run_both(BLOCKS[0], tokens)
    prompted, same = run_both(BLOCKS[0], tokens, prompts)
    expected = BLOCKS[0](torch.cat([tokens, prompts.expand(2, -1, -1)], dim=1))[:, :-4]
    torch.testing.assert_close(prompted, expected)
    torch.testing.assert_close(same, added)
    assert not torch.allclose(prompted, plain)


def test_a_block_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="blocks 0 to 2, not 3"):
        frozen_streams(CLIP, PIXELS, 3)
