"""Soft prompts through the frozen text tower, at the price of their differing parts only.

The text tower is causal. So positions after [EOT] can't matter, and all prompts that begin alike share the beginning:
it is run once, its keys and values in each layer are kept, and the short endings attend to them (METHOD.md §2).
The features and the gradients are those of the plain encoding.

Shape letters: P prefix positions, S suffix positions, C labels, D joint width, Dt text width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.backbone.clip import FrozenClip
from trainer.errors import TrainerError


@dataclass(frozen=True)
class Suffixes:
    """The endings ⟨words of the label⟩ . [EOT] of C prompts, embedded, without positions.

    Attributes:
        embedded: (C, S, Dt), padded behind [EOT] with zeros.
        eot: (C,) position of [EOT] in each ending.
    """

    embedded: Tensor
    eot: Tensor


def label_suffixes(clip: FrozenClip, texts: list[str]) -> Suffixes:
    """Embed the endings of C prompts; each text is a label with what follows it, "cat." for instance.

    Raises:
        TrainerError: where a text is empty or contains a special token.
    """
    for text in texts:
        if not text.strip():
            raise TrainerError("a label's prompt is empty; name the label in the bank")
    rows = [[*clip.token_ids(text), clip.tokenizer.eot_token_id] for text in texts]
    longest = max(len(row) for row in rows)
    embedded = torch.zeros(len(rows), longest, clip.text_width, device=clip.device)
    for index, row in enumerate(rows):
        embedded[index, : len(row)] = clip.embed(row)
    return Suffixes(embedded, torch.tensor([len(row) - 1 for row in rows], device=clip.device))


def encode_shared_prefix(clip: FrozenClip, prefix: Tensor, suffixes: Suffixes) -> Tensor:
    """Text features of the C prompts [prefix, suffix_c].

    Args:
        clip: the frozen model.
        prefix: (P, Dt) embeddings that begin with [SOS], learnable parts included, without positions.
        suffixes: the C endings.

    Returns:
        (C, D), not normalised; differentiable with respect to `prefix`.

    Raises:
        TrainerError: where prefix and suffix together exceed the context.
    """
    length = len(prefix) + suffixes.embedded.shape[1]
    if length > clip.context_length:
        raise TrainerError(
            f"the longest prompt has {length} tokens, {clip.name} reads {clip.context_length}: "
            "shorten the condition or the label, or use fewer learnable tokens"
        )
    positions = clip.model.positional_embedding
    head = (prefix + positions[: len(prefix)])[None]
    tail = suffixes.embedded + positions[len(prefix) : length]
    for block in clip.model.transformer.resblocks:
        head, tail = _block(block, head, tail)
    at_end = tail[torch.arange(len(tail), device=tail.device), suffixes.eot]
    return clip.model.ln_final(at_end) @ clip.model.text_projection


def _block(block: Any, head: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """One residual block for the prefix (1, P, Dt) and for the C suffixes (C, S, Dt) that attend to it."""
    heads = block.attn.num_heads
    head_q, head_k, head_v = _project(block, head, heads)
    tail_q, tail_k, tail_v = _project(block, tail, heads)
    count, seen, new = len(tail), head.shape[1], tail.shape[1]
    keys = torch.cat([head_k.expand(count, -1, -1, -1), tail_k], dim=2)
    values = torch.cat([head_v.expand(count, -1, -1, -1), tail_v], dim=2)
    visible = torch.ones(new, seen + new, dtype=torch.bool, device=tail.device).tril(seen)
    head_out = F.scaled_dot_product_attention(head_q, head_k, head_v, is_causal=True)
    tail_out = F.scaled_dot_product_attention(tail_q, keys, values, attn_mask=visible)
    return _residual(block, head, head_out), _residual(block, tail, tail_out)


def _project(block: Any, tokens: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (batch, heads, positions, width / heads)."""
    attention = block.attn
    mixed = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1))
    return query, key, value


def _residual(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block behind its attention."""
    tokens = tokens + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
