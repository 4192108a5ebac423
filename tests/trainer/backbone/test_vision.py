"""The image tower gives the results of open_clip's forward pass, from any first block and with any extra tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.tiny import random_clip
from trainer.backbone.vision import ExtraTokens, encode_dense, frozen_tokens

CLIP = random_clip(vision_layers=4).double()
VISUAL = CLIP.model.visual
WIDTH = CLIP.vision_width


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PIXELS = random(2, 3, 32, 32)


@pytest.mark.parametrize("block", range(4))
def test_frozen_tokens_lead_to_the_same_features(block: int) -> None:
    whole = CLIP.encode_image(PIXELS)
    found = frozen_tokens(CLIP, PIXELS, block)
    torch.testing.assert_close(found.image, whole.image)
    dense = encode_dense(CLIP, found.tokens, block=block)
    torch.testing.assert_close(dense[:, 0], whole.image)
    torch.testing.assert_close(dense[:, 1:], whole.patches)


def plain(tokens: Tensor, deep: dict[int, Tensor], where: str, before_norm: bool) -> Tensor:
    """Written out: embed, put the tokens in, and in each block exchange them."""
    count = tokens.shape[-2]
    x = VISUAL.conv1(PIXELS).flatten(2).mT
    x = torch.cat([VISUAL.class_embedding.expand(2, 1, -1), x], dim=1) + VISUAL.positional_embedding
    if not before_norm:
        x = VISUAL.ln_pre(x)
    at = 1 if where == "after class" else x.shape[1]
    x = torch.cat([x[:, :at], tokens.expand(2, -1, -1), x[:, at:]], dim=1)
    if before_norm:
        x = VISUAL.ln_pre(x)
    for number, block in enumerate(VISUAL.transformer.resblocks):
        if number in deep:
            x = torch.cat([x[:, :at], deep[number].expand(2, -1, -1), x[:, at + count :]], dim=1)
        x = block(x)
    return VISUAL.ln_post(x) @ VISUAL.proj


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 3),
    own=st.booleans(),
    deep=st.sets(st.integers(1, 3)),
    where=st.sampled_from(["after class", "end"]),
    before_norm=st.booleans(),
)
def test_extra_and_deep_tokens(count: int, own: bool, deep: set[int], where: str, before_norm: bool) -> None:
    """Outputs and gradients, for tokens of all images and of each its own."""
    shape = (2, count, WIDTH) if own else (count, WIDTH)
    found = []
    for inside in (True, False):
        given_tokens = [random(*shape, seed=n).requires_grad_() for n in range(1 + len(deep))]
        later = dict(zip(sorted(deep), given_tokens[1:], strict=True))
        if inside:
            dense = encode_dense(CLIP, PIXELS, ExtraTokens(given_tokens[0], where, before_norm, later))  # type: ignore[arg-type]
        else:
            dense = plain(given_tokens[0], later, where, before_norm)
        (dense * random(*dense.shape, seed=9)).sum().backward()
        found.append((dense.detach(), *(part.grad for part in given_tokens)))
    torch.testing.assert_close(found[0], found[1], atol=1e-9, rtol=1e-7)


def test_tokens_can_enter_at_the_first_block_that_is_not_frozen() -> None:
    frozen = frozen_tokens(CLIP, PIXELS, 2).tokens
    extra = random(3, WIDTH)
    x = torch.cat([frozen, extra.expand(2, -1, -1)], dim=1)
    for block in VISUAL.transformer.resblocks[2:]:
        x = block(x)
    torch.testing.assert_close(encode_dense(CLIP, frozen, ExtraTokens(extra), 2), VISUAL.ln_post(x) @ VISUAL.proj)


def test_tokens_that_pass_the_first_norm_can_join_what_has_passed_it() -> None:
    """The norm is of each token on its own."""
    frozen = frozen_tokens(CLIP, PIXELS, 0).tokens
    extra = ExtraTokens(random(3, WIDTH), before_norm=True, deep={1: random(3, WIDTH, seed=1)})
    torch.testing.assert_close(encode_dense(CLIP, frozen, extra), encode_dense(CLIP, PIXELS, extra))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks 0 to 3, not 4"):
        frozen_tokens(CLIP, PIXELS, 4)
