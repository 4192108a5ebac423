"""The parts of a CLIP residual block, from which both towers are run.

Sequences of different lengths are packed (one row per token) for layer norms and linear layers, and padded for
attention. The integer indices for this depend on the lengths only and are computed once, so no tensor shape in a
training step depends on data and the host never has to wait for the device to learn a shape.
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
    """Indices between the packed and the padded form of n sequences.

    Attributes:
        lengths: of the n sequences, each at least 1.
        pad_index: (n, longest) packed row of the token at each padded position. Positions after a sequence's end point
            to an arbitrary token; their results are discarded.
        pack_index: (tokens,) position of each packed token in the padded form, flattened over sequences.
    """

    lengths: tuple[int, ...]
    pad_index: Tensor
    pack_index: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Packing:
        """The packing of sequences of these lengths."""
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        pad_index = (valid.flatten().cumsum(0) - 1).clamp_min(0).view(valid.shape)
        return cls(tuple(lengths), pad_index.to(device), valid.flatten().nonzero()[:, 0].to(device))

    def starts(self) -> list[int]:
        """The packed row of each sequence's first token."""
        return [sum(self.lengths[:index]) for index in range(len(self.lengths))]

    def pack(self, padded: Tensor) -> Tensor:
        """(n, longest, width) to (tokens, width)."""
        return padded.flatten(0, 1).index_select(0, self.pack_index)


def project_qkv(block: Any, tokens: Tensor, pad_index: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (n, heads, positions, width / heads).

    Args:
        block: an open_clip `ResidualAttentionBlock`.
        tokens: (n, positions, width); or (tokens, width) if packed.
        pad_index: for packed tokens, see `Packing`.
    """
    attention = block.attn
    qkv = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    if pad_index is not None:
        qkv = qkv[pad_index]
    query, key, value = (part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    return query, key, value


def attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None = None, causal: bool = False) -> Tensor:
    """Softmax attention with concatenated heads: (n, positions, width). `visible` is a broadcastable mask."""
    heads = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=causal)
    return heads.transpose(1, 2).flatten(2)


def finish_block(block: Any, tokens: Tensor, attention: Tensor) -> Tensor:
    """The rest of a block after its attention: output projection, MLP, and the two residual connections."""
    tokens = tokens + block.ls_1(block.attn.out_proj(attention))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))


def value_path(block: Any, tokens: Tensor) -> Tensor:
    """A block in which every token attends only to itself: (n, positions, width) to the same shape."""
    attention = block.attn
    _, _, weight = attention.in_proj_weight.chunk(3)
    _, _, bias = attention.in_proj_bias.chunk(3)
    return finish_block(block, tokens, F.linear(block.ln_1(tokens), weight, bias))
