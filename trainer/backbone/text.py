"""Soft prompts through the frozen text tower, at the price of their differing parts only.

The text tower is causal. So positions after [EOT] can't matter, and all prompts that begin alike share the beginning:
it is encoded once, its keys and values in each layer are kept, and the short endings attend to them (METHOD.md §2).
Endings are encoded in chunks; where there are several, each is encoded again for its gradient instead of being kept, so
that memory does not grow with the number of labels. Features and gradients are those of the plain encoding.

Shape letters: N prefixes, Q positions of the longest prefix, S suffix positions, C labels, D (Dt) joint (text) width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trainer.backbone.block import Packing, attended, projected, residual
from trainer.backbone.clip import FrozenClip
from trainer.backbone.endings import Endings, Whole, split_layer
from trainer.backbone.injections import Injection, Insertion, at_layer, replaced_rows
from trainer.errors import TrainerError


@dataclass(frozen=True)
class Suffixes:
    """The endings ⟨words of the label⟩ . [EOT] of C prompts, embedded, without positions.

    Attributes:
        embedded: (C, S, Dt), padded behind [EOT] with zeros.
        lengths: of each ending, [EOT] included.
    """

    embedded: Tensor
    lengths: tuple[int, ...]

    @property
    def eot(self) -> Tensor:
        """(C,) position of [EOT] in each ending."""
        return torch.tensor(self.lengths, device=self.embedded.device) - 1


def label_suffixes(clip: FrozenClip, texts: list[str]) -> Suffixes:
    """Embed the endings of C prompts; each text is a label with what follows it, "cat." for instance.

    Raises:
        TrainerError: where a text is empty or contains a special token.
    """
    for text in texts:
        if not text.strip():
            raise TrainerError("a label's prompt is empty; name the label in the bank")
    rows = [[*clip.token_ids(text), clip.tokenizer.eot_token_id] for text in texts]
    embedded = torch.zeros(len(rows), max(len(row) for row in rows), clip.text_width, device=clip.device)
    for index, row in enumerate(rows):
        embedded[index, : len(row)] = clip.embed(row)
    return Suffixes(embedded, tuple(len(row) for row in rows))


class _Heads(NamedTuple):
    """What the prefixes leave behind for their endings.

    Attributes:
        keys, values: of each shared layer, (N, heads, Q, width / heads).
        tokens: packed, behind the last shared layer; None where every layer is shared.
    """

    keys: list[Tensor]
    values: list[Tensor]
    tokens: Tensor | None


class PrefixEncoder:
    """Text features of the prompts [prefix_n, suffix_c] of all pairs, each prefix encoded once.

    Everything that depends on lengths alone is made here, once; a call computes.

    Args:
        clip: the frozen model.
        lengths: P_n of the N prefixes, [SOS] and learnable tokens included.
        suffixes: the C endings.
        chunk: prompts encoded at once, at least one label's N; None encodes all.
        injections: where learnable tokens enter deeper layers.

    Raises:
        TrainerError: where a prefix and the longest suffix together exceed the context.
        ValueError: an injection that does not fit.
    """

    def __init__(
        self,
        clip: FrozenClip,
        lengths: Sequence[int],
        suffixes: Suffixes,
        chunk: int | None = None,
        injections: Sequence[Injection] = (),
    ) -> None:
        longest = max(lengths) + suffixes.embedded.shape[1]
        if longest > clip.context_length:
            raise TrainerError(
                f"the longest prompt has {longest} tokens, {clip.name} reads {clip.context_length}: "
                "shorten the condition or the label, or use fewer learnable tokens"
            )
        self.clip, self.suffixes, self.injections = clip, suffixes, tuple(injections)
        layers = len(clip.model.transformer.resblocks)
        for injection in self.injections:
            injection.check(layers, min(lengths))
        device = clip.device
        self.packing = Packing.of(lengths, device)
        self.shared_layers = split_layer(self.injections, layers)
        self._insertions = {
            i: Insertion.of(self.packing, one, device) for i, one in enumerate(self.injections) if one.inserted
        }
        self._replaced = {
            i: replaced_rows(self.packing, one, device) for i, one in enumerate(self.injections) if not one.inserted
        }
        count = len(suffixes.lengths)
        step = count if chunk is None else max(1, chunk // len(self.packing.lengths))
        self._chunks = [self._chunk(slice(start, min(start + step, count))) for start in range(0, count, step)]

    def __call__(self, prefixes: Sequence[Tensor], injected: Sequence[Tensor] = ()) -> Tensor:
        """Encode.

        Args:
            prefixes: N of them, (P_n, Dt) embeddings that begin with [SOS], without positions.
            injected: the tokens of each injection, (K, Dt), or (C, K, Dt) where they are a label's own.

        Returns:
            (N, C, D), not normalised; differentiable with respect to `prefixes` and `injected`.
        """
        with self.clip.autocast():
            heads = self._run_prefixes(prefixes, injected)
        if len(self._chunks) == 1:
            return self._features(self._chunks[0], heads, injected)
        # Nothing is drawn at random in the tower, so no state of a generator need be kept.
        parts = [
            checkpoint(self._features, part, heads, injected, use_reentrant=False, preserve_rng_state=False)
            for part in self._chunks
        ]
        return torch.cat(parts, dim=1)

    def _chunk(self, labels: slice) -> Endings:
        widths = {
            layer: sum(self.injections[i].count for i in at_layer(self.injections, layer, inserted=True))
            for layer in range(self.shared_layers)
        }
        whole = self.shared_layers < len(self.clip.model.transformer.resblocks)
        embedded, lengths = self.suffixes.embedded[labels], self.suffixes.lengths[labels]
        return Endings.of(self.clip, self.packing, embedded, lengths, widths, labels, self.injections, whole)

    def _run_prefixes(self, prefixes: Sequence[Tensor], injected: Sequence[Tensor]) -> _Heads:
        """The prefixes through the layers that all labels share."""
        positions = self.clip.model.positional_embedding
        tokens = torch.cat([prefix + positions[: len(prefix)] for prefix in prefixes])
        blocks = self.clip.model.transformer.resblocks
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for layer, block in enumerate(blocks[: self.shared_layers]):
            tokens, packing, kept = self._entering(layer, tokens, injected)
            query, key, value = projected(block, tokens, packing.place)
            keys.append(key)
            values.append(value)
            if layer == len(blocks) - 1:  # nobody asks what the last layer makes of a prefix itself
                return _Heads(keys, values, None)
            tokens = residual(block, tokens, packing.pack(attended(query, key, value, causal=True)))
            tokens = tokens if kept is None else tokens.index_select(0, kept)
        return _Heads(keys, values, tokens)

    def _entering(
        self, layer: int, tokens: Tensor, injected: Sequence[Tensor]
    ) -> tuple[Tensor, Packing, Tensor | None]:
        """The prefixes' tokens with what is injected before a layer: packed, their packing, and which rows stay."""
        for i in at_layer(self.injections, layer, inserted=False):
            tokens = tokens.index_copy(0, self._replaced[i], _repeated(injected[i], len(self.packing.lengths), tokens))
        packing, kept = self.packing, None
        for i in at_layer(self.injections, layer, inserted=True):
            insertion = self._insertions[i]
            tokens = torch.cat([tokens, injected[i].to(tokens.dtype)]).index_select(0, insertion.order)
            packing, kept = insertion.packing, insertion.kept
        return tokens, packing, kept

    def _features(self, part: Endings, heads: _Heads, injected: Sequence[Tensor]) -> Tensor:
        """Features (N, C, D) of some labels' endings, each behind all prefixes."""
        clip, blocks = self.clip, self.clip.model.transformer.resblocks
        with clip.autocast():
            tokens = part.placed()
            for layer, block in enumerate(blocks[: self.shared_layers]):
                last = layer == len(blocks) - 1
                tokens = part.behind(block, layer, tokens, heads.keys[layer], heads.values[layer], last)
            if part.whole is not None and heads.tokens is not None:
                tokens = self._unshared(part, part.whole, torch.cat([heads.tokens, tokens]), injected)
        features = clip.model.ln_final(tokens.to(clip.model.text_projection.dtype)) @ clip.model.text_projection
        return features.unflatten(0, (len(self.packing.lengths), -1))

    def _unshared(self, part: Endings, whole: Whole, tokens: Tensor, injected: Sequence[Tensor]) -> Tensor:
        """Whole prompts through the layers that labels don't share: (N C, Dt), what stands at [EOT]."""
        tokens = tokens.index_select(0, whole.order)
        count = len(self.packing.lengths)
        for layer, block in enumerate(self.clip.model.transformer.resblocks):
            if layer < self.shared_layers:
                continue
            for i in at_layer(self.injections, layer, inserted=False):
                own = injected[i][part.labels] if self.injections[i].own_to == "label" else injected[i]
                rows = whole.replaced[i]
                repeats = count if self.injections[i].own_to == "label" else count * part.count
                tokens = tokens.index_copy(0, rows, _repeated(own.flatten(0, -2), repeats, tokens))
            query, key, value = projected(block, tokens, whole.packing.place)
            tokens = residual(block, tokens, whole.packing.pack(attended(query, key, value, causal=True)))
        return tokens.index_select(0, whole.eot)


def _repeated(own: Tensor, times: int, like: Tensor) -> Tensor:
    return own.to(like.dtype).repeat(times, 1)


def encode_shared_prefixes(
    clip: FrozenClip, prefixes: Sequence[Tensor], suffixes: Suffixes, chunk: int | None = None
) -> Tensor:
    """Text features (N, C, D) of all pairs, once; where it is done again and again, keep a `PrefixEncoder`."""
    return PrefixEncoder(clip, [len(prefix) for prefix in prefixes], suffixes, chunk)(prefixes)


def encode_shared_prefix(clip: FrozenClip, prefix: Tensor, suffixes: Suffixes, chunk: int | None = None) -> Tensor:
    """Text features (C, D) of the C prompts [prefix, suffix_c]; see `encode_shared_prefixes`, of which this is one."""
    return encode_shared_prefixes(clip, [prefix], suffixes, chunk)[0]
