"""Soft prompts through the frozen text tower, at the price of their differing parts only.

The text tower is causal. So positions after [EOT] can't matter, and all prompts that begin alike share the beginning:
it is run once, its keys and values in each layer are kept, and the short endings attend to them (METHOD.md §2).
Endings run in chunks; where there are several, each is run again for its gradient instead of being kept, so that
memory does not grow with the number of labels. The features and the gradients are those of the plain encoding.

Shape letters: N prefixes, Q positions of the longest prefix, S suffix positions, C labels, D (Dt) joint (text) width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

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


def encode_shared_prefix(clip: FrozenClip, prefix: Tensor, suffixes: Suffixes, chunk: int | None = None) -> Tensor:
    """Text features (C, D) of the C prompts [prefix, suffix_c]; see `encode_shared_prefixes`, of which this is one."""
    return encode_shared_prefixes(clip, [prefix], suffixes, chunk)[0]


def encode_shared_prefixes(
    clip: FrozenClip, prefixes: Sequence[Tensor], suffixes: Suffixes, chunk: int | None = None
) -> Tensor:
    """Text features of the prompts [prefix_n, suffix_c] of all pairs.

    Args:
        clip: the frozen model.
        prefixes: N of them, (P_n, Dt) embeddings that begin with [SOS], learnable parts included, without positions.
        suffixes: the C endings.
        chunk: prompts run at once, at least one label's N; None runs all.

    Returns:
        (N, C, D), not normalised; differentiable with respect to `prefixes`.

    Raises:
        TrainerError: where a prefix and the longest suffix together exceed the context.
    """
    longest = max(len(prefix) for prefix in prefixes) + suffixes.embedded.shape[1]
    if longest > clip.context_length:
        raise TrainerError(
            f"the longest prompt has {longest} tokens, {clip.name} reads {clip.context_length}: "
            "shorten the condition or the label, or use fewer learnable tokens"
        )
    with clip.autocast():
        heads = _run_prefixes(clip, prefixes)
    count = len(suffixes.eot)
    step = count if chunk is None else max(1, chunk // len(prefixes))
    if step >= count:
        return _run_endings(clip, heads, suffixes)
    features = []
    for start in range(0, count, step):
        part = Suffixes(suffixes.embedded[start : start + step], suffixes.eot[start : start + step])
        # Nothing is drawn at random in the tower, so no state of a generator need be kept.
        features.append(checkpoint(_run_endings, clip, heads, part, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(features, dim=1)


class _Heads(NamedTuple):
    """What the prefixes leave behind for their endings.

    Attributes:
        lengths: P_n.
        valid: (N, Q), which padded places hold a token.
        keys, values: of each layer, (N, heads, Q, width / heads).
    """

    lengths: tuple[int, ...]
    valid: Tensor
    keys: list[Tensor]
    values: list[Tensor]


def _run_prefixes(clip: FrozenClip, prefixes: Sequence[Tensor]) -> _Heads:
    """The prefixes through all layers, packed for the linear layers and padded for attention."""
    positions = clip.model.positional_embedding
    lengths = tuple(len(prefix) for prefix in prefixes)
    tokens = torch.cat([prefix + positions[: len(prefix)] for prefix in prefixes])
    valid = torch.arange(max(lengths), device=tokens.device) < torch.tensor(lengths, device=tokens.device)[:, None]
    place = _places(valid)
    heads = _Heads(lengths, valid, [], [])
    *blocks, last = clip.model.transformer.resblocks
    for block in blocks:
        query, key, value = _projected(block, tokens, place)
        heads.keys.append(key)
        heads.values.append(value)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        tokens = _residual(block, tokens, _joined(attended)[valid])
    # Nobody asks what the last layer makes of a prefix itself.
    _, key, value = _projected(last, tokens, place)
    return heads._replace(keys=[*heads.keys, key], values=[*heads.values, value])


def _run_endings(clip: FrozenClip, heads: _Heads, suffixes: Suffixes) -> Tensor:
    """Features (N, C, D) of the endings, each behind all prefixes."""
    with clip.autocast():
        ends = _last_tokens(clip, heads, suffixes)
    features = clip.model.ln_final(ends.to(clip.model.text_projection.dtype)) @ clip.model.text_projection
    return features.unflatten(0, (len(heads.lengths), -1))


def _last_tokens(clip: FrozenClip, heads: _Heads, suffixes: Suffixes) -> Tensor:
    """(N C, Dt), what stands at [EOT] behind the last layer."""
    count, (labels, new) = len(heads.lengths), suffixes.embedded.shape[:2]
    device = suffixes.embedded.device
    positions = clip.model.positional_embedding
    placed = torch.stack([suffixes.embedded + positions[p : p + new] for p in heads.lengths])
    valid = (torch.arange(new, device=device) <= suffixes.eot[:, None]).repeat(count, 1)
    place = _places(valid)
    # An ending sees the whole of its prefix, and of itself what came before.
    before = heads.valid.repeat_interleave(labels, 0)[:, None].expand(-1, new, -1)
    causal = torch.ones(new, new, dtype=torch.bool, device=device).tril().expand(count * labels, -1, -1)
    visible = torch.cat([before, causal], dim=-1)[:, None]
    tokens = placed.flatten(0, 1)[valid]
    *blocks, last = zip(clip.model.transformer.resblocks, heads.keys, heads.values, strict=True)
    for block, head_keys, head_values in blocks:
        query, key, value = _projected(block, tokens, place)
        attended = _attended(query, key, value, head_keys, head_values, visible)
        tokens = _residual(block, tokens, attended[valid])
    # Of the last layer only [EOT] is wanted.
    row, eot = torch.arange(count * labels, device=device), suffixes.eot.repeat(count)
    block, head_keys, head_values = last
    query, key, value = _projected(block, tokens, place)
    query, visible = query[row, :, eot][:, :, None], visible[row, :, eot][:, :, None]
    attended = _attended(query, key, value, head_keys, head_values, visible)
    return _residual(block, tokens[place[row, eot]], attended[:, 0])


def _attended(
    query: Tensor, key: Tensor, value: Tensor, head_keys: Tensor, head_values: Tensor, visible: Tensor
) -> Tensor:
    """What the queries of the endings make of their prefixes and of themselves: (N C, queries, width)."""
    labels = len(key) // len(head_keys)
    keys = torch.cat([head_keys.repeat_interleave(labels, 0), key], dim=2)
    values = torch.cat([head_values.repeat_interleave(labels, 0), value], dim=2)
    return _joined(F.scaled_dot_product_attention(query, keys, values, attn_mask=visible))


def _places(valid: Tensor) -> Tensor:
    """The packed token at each padded place. A place without one points to some token; nothing of it is kept."""
    return (valid.flatten().cumsum(0) - 1).clamp_min(0).view(valid.shape)


def _projected(block: Any, tokens: Tensor, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of packed tokens at padded places, (batch, heads, positions, width / heads) each."""
    attention = block.attn
    mixed = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)[place]
    query, key, value = (
        part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1)
    )
    return query, key, value


def _joined(attended: Tensor) -> Tensor:
    """(batch, heads, positions, width / heads) back to (batch, positions, width)."""
    return attended.transpose(1, 2).flatten(2)


def _residual(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of a residual block behind its attention."""
    tokens = tokens + block.ls_1(block.attn.out_proj(attended))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
