"""Soft prompts through the frozen text tower, at the price of their differing parts only.

The text tower is causal. So positions after [EOT] can't matter, and all prompts that begin alike share the beginning:
it is run once, its keys and values in each layer are kept, and the short endings attend to them (METHOD.md §2).
The features and the gradients are those of the plain encoding.

Shape letters: N prefixes, P prefix positions, S suffix positions, C labels, D joint width, Dt text width.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Text features (C, D) of the C prompts [prefix, suffix_c]; see `encode_shared_prefixes`, of which this is one."""
    return encode_shared_prefixes(clip, [prefix], suffixes)[0]


def encode_shared_prefixes(clip: FrozenClip, prefixes: Sequence[Tensor], suffixes: Suffixes) -> Tensor:
    """Text features of the prompts [prefix_n, suffix_c] of all pairs.

    Args:
        clip: the frozen model.
        prefixes: N of them, (P_n, Dt) embeddings that begin with [SOS], learnable parts included, without positions.
        suffixes: the C endings.

    Returns:
        (N, C, D), not normalised; differentiable with respect to `prefixes`.

    Raises:
        TrainerError: where a prefix and the longest suffix together exceed the context.
    """
    lengths = [len(prefix) for prefix in prefixes]
    longest = max(lengths) + suffixes.embedded.shape[1]
    if longest > clip.context_length:
        raise TrainerError(
            f"the longest prompt has {longest} tokens, {clip.name} reads {clip.context_length}: "
            "shorten the condition or the label, or use fewer learnable tokens"
        )
    layout = _Layout.of(lengths, suffixes.eot)
    positions = clip.model.positional_embedding
    heads = [prefix + positions[: len(prefix)] for prefix in prefixes]
    tails = [suffixes.embedded + positions[p : p + suffixes.embedded.shape[1]] for p in lengths]
    tokens = torch.cat([*heads, torch.cat(tails)[layout.tail_valid]])
    for block in clip.model.transformer.resblocks:
        tokens = _residual(block, tokens, _attended(block, tokens, layout))
    features = clip.model.ln_final(tokens[layout.ends]) @ clip.model.text_projection
    return features.unflatten(0, (len(prefixes), -1))


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of all prompts stand: without padding for the linear layers, padded for attention.

    Q is the longest prefix.

    Attributes:
        head_valid: (N, Q), which padded places of the prefixes hold a token.
        tail_valid: (N C, S), the same for the endings.
        head_index, tail_index: the token at each padded place.
        visible: (N C, 1, S, Q + S), which keys each token of an ending attends to.
        ends: (N C,), the tokens at [EOT].
    """

    head_valid: Tensor
    tail_valid: Tensor
    head_index: Tensor
    tail_index: Tensor
    visible: Tensor
    ends: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], eot: Tensor) -> _Layout:
        count, labels, device = len(lengths), len(eot), eot.device
        seen, new = max(lengths), int(eot.max()) + 1
        head_valid = torch.arange(seen, device=device) < torch.tensor(lengths, device=device)[:, None]
        tail_valid = (torch.arange(new, device=device) <= eot[:, None]).repeat(count, 1)
        valid = torch.cat([head_valid.flatten(), tail_valid.flatten()])
        # A place that holds no token points to some token; nothing that comes of it is kept.
        index = (valid.cumsum(0) - 1).clamp_min(0)
        head_index, tail_index = index[: head_valid.numel()], index[head_valid.numel() :]
        before = head_valid.repeat_interleave(labels, 0)[:, None].expand(-1, new, -1)
        causal = torch.ones(new, new, dtype=torch.bool, device=device).tril().expand(count * labels, -1, -1)
        ends = tail_index.view(-1, new)[torch.arange(count * labels, device=device), eot.repeat(count)]
        return cls(
            head_valid=head_valid,
            tail_valid=tail_valid,
            head_index=head_index.view(count, seen),
            tail_index=tail_index.view(-1, new),
            visible=torch.cat([before, causal], dim=-1)[:, None],
            ends=ends,
        )


def _attended(block: Any, tokens: Tensor, layout: _Layout) -> Tensor:
    """What attention makes of the tokens, before its output projection: an ending sees its prefix too."""
    attention = block.attn
    mixed = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    head_q, head_k, head_v = _split(mixed[layout.head_index], attention.num_heads)
    tail_q, tail_k, tail_v = _split(mixed[layout.tail_index], attention.num_heads)
    labels = len(tail_q) // len(head_q)
    keys = torch.cat([head_k.repeat_interleave(labels, 0), tail_k], dim=2)
    values = torch.cat([head_v.repeat_interleave(labels, 0), tail_v], dim=2)
    head_out = F.scaled_dot_product_attention(head_q, head_k, head_v, is_causal=True)
    tail_out = F.scaled_dot_product_attention(tail_q, keys, values, attn_mask=layout.visible)
    return torch.cat([_joined(head_out)[layout.head_valid], _joined(tail_out)[layout.tail_valid]])


def _split(mixed: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (batch, heads, positions, width / heads)."""
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1))
    return query, key, value


def _joined(attended: Tensor) -> Tensor:
    """(batch, heads, positions, width / heads) back to (batch, positions, width)."""
    return attended.transpose(1, 2).flatten(2)


def _residual(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block behind its attention."""
    tokens = tokens + block.ls_1(block.attn.out_proj(attended))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
