"""A residual block of CLIP in its parts, which both towers are driven by.

Sequences of unequal length are packed (one row a token) for layer norms and linear layers, and padded for attention.
Where each token goes is known from the lengths, so it is worked out once, as integer indices: a step then has no shape
that depends on data, and the device never has to tell the host how many tokens there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the tokens of n sequences stand, packed and padded.

    Attributes:
        lengths: of the sequences, each at least 1.
        place: (n, longest) row of the packed token at each padded place. A place behind a sequence's end points to some
            token; nothing of it is kept.
        flat: (tokens,) padded place, counted through all sequences, of each packed token.
    """

    lengths: tuple[int, ...]
    place: Tensor
    flat: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Packing:
        """The packing of sequences with these lengths."""
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        place = (valid.flatten().cumsum(0) - 1).clamp_min(0).view(valid.shape)
        return cls(tuple(lengths), place.to(device), valid.flatten().nonzero()[:, 0].to(device))

    def starts(self) -> list[int]:
        """The packed row of each sequence's first token."""
        return [sum(self.lengths[:index]) for index in range(len(self.lengths))]

    def pack(self, padded: Tensor) -> Tensor:
        """(n, longest, width) to (tokens, width)."""
        return padded.flatten(0, 1).index_select(0, self.flat)


def projected(block: Any, tokens: Tensor, place: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (n, heads, positions, width / heads).

    Args:
        block: an open_clip `ResidualAttentionBlock`.
        tokens: (n, positions, width); or (tokens, width), packed.
        place: of packed tokens, see `Packing`.
    """
    attention = block.attn
    mixed = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    if place is not None:
        mixed = mixed[place]
    query, key, value = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1)
    )
    return query, key, value


def attended(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None, causal: bool = False) -> Tensor:
    """Softmax attention with the heads joined: (n, positions, width). `visible` is a mask that may be broadcast."""
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=causal)
    return found.transpose(1, 2).flatten(2)


def residual(block: Any, tokens: Tensor, attention: Tensor) -> Tensor:
    """The rest of a block behind its attention: output projection, both residual sums, the MLP."""
    tokens = tokens + block.ls_1(block.attn.out_proj(attention))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))


def value_path(block: Any, tokens: Tensor) -> Tensor:
    """A block in which every token attends to itself alone: (n, positions, width) to the same."""
    attention = block.attn
    _, _, weight = attention.in_proj_weight.chunk(3)
    _, _, bias = attention.in_proj_bias.chunk(3)
    return residual(block, tokens, F.linear(block.ln_1(tokens), weight, bias))
