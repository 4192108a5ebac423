"""Deep prompts in the shared-prefix encoding against the same injections in the reference encoding."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.tiny import random_clip
from trainer.backbone.clip import FrozenClip
from trainer.backbone.injections import Injection
from trainer.backbone.text import PrefixEncoder, label_suffixes

CLIP = random_clip(layers=4).double()
LABELS = ("cat", "dining table", "traffic light", "person")


def plain(
    clip: FrozenClip, prefixes: Sequence[Tensor], injections: Sequence[Injection], tokens: Sequence[Tensor]
) -> Tensor:
    """Each prompt on its own, over the whole context."""
    features = []
    for prefix in prefixes:
        for index, label in enumerate(LABELS):
            ids = [*clip.token_ids(f"{label}."), clip.tokenizer.eot_token_id]
            prompt = torch.cat([prefix, clip.embed(ids)])
            end = len(prompt) - 1
            padding = prompt.new_zeros(clip.context_length - len(prompt), prompt.shape[1])
            x = torch.cat([prompt, padding]) + clip.model.positional_embedding
            for layer, block in enumerate(clip.model.transformer.resblocks):
                inserted = 0
                for one, given_tokens in zip(injections, tokens, strict=True):
                    if one.layer != layer:
                        continue
                    own = given_tokens[index] if one.per_label else given_tokens
                    behind = one.position if one.inserted else one.position + one.count
                    x = torch.cat([x[: one.position], own, x[behind:]])
                    inserted = one.count if one.inserted else 0
                mask = torch.full((len(x), len(x)), -torch.inf, dtype=x.dtype).triu(1)
                x = block(x[None], attn_mask=mask)[0]
                if inserted:
                    x = torch.cat([x[:1], x[1 + inserted :]])
            features.append(clip.model.ln_final(x[end]) @ clip.model.text_projection)
    return torch.stack(features).unflatten(0, (len(prefixes), len(LABELS)))


def both(
    lengths: Sequence[int], injections: Sequence[Injection], chunk: int | None, seed: int
) -> list[tuple[Tensor, ...]]:
    """Features and all gradients, shared and plain."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, CLIP.text_width, generator=generator, dtype=torch.float64)

    start = [random(length - 1) for length in lengths]
    tokens = [random(len(LABELS), one.count) if one.per_label else random(one.count) for one in injections]
    direction = torch.randn(len(lengths), len(LABELS), CLIP.dim, generator=generator, dtype=torch.float64)
    sos = CLIP.embed([CLIP.tokenizer.sot_token_id])
    found = []
    for shared in (True, False):
        own = [part.clone().requires_grad_() for part in (*start, *tokens)]
        prefixes = [torch.cat([sos, part]) for part in own[: len(start)]]
        if shared:
            suffixes = label_suffixes(CLIP, [f"{label}." for label in LABELS])
            features = PrefixEncoder(CLIP, lengths, suffixes, chunk, injections)(prefixes, own[len(start) :])
        else:
            features = plain(CLIP, prefixes, injections, own[len(start) :])
        (features * direction).sum().backward()
        assert all(part.grad is not None for part in own)
        found.append((features.detach(), *(part.grad for part in own if part.grad is not None)))
    return found


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(4, 7), min_size=1, max_size=2),
    layers=st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True),
    inserted=st.booleans(),
    own=st.booleans(),
    chunk=st.sampled_from([None, 3]),
    seed=st.integers(0, 99),
)
def test_injected_tokens_are_the_plain_encodings(
    lengths: list[int], layers: list[int], inserted: bool, own: bool, chunk: int | None, seed: int
) -> None:
    """Outputs and gradients: tokens for all in some layers, in the last of them a label's own."""
    injections = [Injection(layer, 1, 2, inserted and not own) for layer in layers]
    if own:
        injections[-1] = Injection(max(layers), 1, 3, per_label=True)
        injections[:-1] = [Injection(layer, 1, 2) for layer in layers if layer != max(layers)]
    shared, expected = both(lengths, injections, chunk, seed)
    torch.testing.assert_close(shared, expected, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("layers", [(1, 2), (2, 3)])
def test_tokens_for_all_behind_the_split_reach_every_prompt(layers: tuple[int, int]) -> None:
    """From the first layer with tokens of a label's own, prompts are whole; shared tokens still enter them."""
    own, later = layers
    injections = [Injection(own, 1, 2, per_label=True), Injection(later, 2, 2)]
    shared, expected = both([5, 6], injections, 3, 0)
    torch.testing.assert_close(shared, expected, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize(
    ("injection", "said"),
    [
        (Injection(4, 1, 2), "before layer 4, of 4"),
        (Injection(1, 4, 2), "positions 4 to 6"),
        (Injection(1, 0, 2), "positions 0 to 2"),
        (Injection(1, 1, 2, inserted=True, per_label=True), "not inserted"),
    ],
)
def test_what_does_not_fit_is_refused(injection: Injection, said: str) -> None:
    suffixes = label_suffixes(CLIP, ["cat."])
    with pytest.raises(ValueError, match=said):
        PrefixEncoder(CLIP, [5], suffixes, injections=[injection])
    with pytest.raises(ValueError, match="all labels share"):
        several = [Injection(1, 1, 2, per_label=True), Injection(2, 1, 2, inserted=True)]
        PrefixEncoder(CLIP, [5], suffixes, injections=several)
