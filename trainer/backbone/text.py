"""Soft prompts through the frozen text tower, with shared prefixes encoded once.

The text tower is causal. Positions after [EOT] therefore have no effect, and prompts with the same prefix share its
computation: the prefix is encoded once, its keys and values of each layer are kept, and the short suffixes attend to
them (METHOD.md §2). Suffixes are encoded in chunks. With more than one chunk, activations are recomputed in the
backward pass, so that memory does not grow with the number of labels. Features and gradients equal those of the
reference encoding (`FrozenClip.encode_tokens`).

Shape letters: N prefixes, Q positions of the longest prefix, S suffix positions, C labels, D (Dt) joint (text) width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from trainer.backbone.block import Packing, attend, finish_block, project_qkv
from trainer.backbone.clip import FrozenClip
from trainer.backbone.injections import Injection, Insertion, injections_at, replaced_rows
from trainer.backbone.suffix_chunk import FullPrompts, SuffixChunk, split_layer
from trainer.errors import TrainerError


@dataclass(frozen=True)
class Suffixes:
    """The suffixes ⟨label⟩ . [EOT] of C prompts, embedded, without positional embeddings.

    Attributes:
        embedded: (C, S, Dt), zero-padded after [EOT].
        lengths: of the suffixes, including [EOT].
    """

    embedded: Tensor
    lengths: tuple[int, ...]

    @property
    def eot(self) -> Tensor:
        """(C,) position of [EOT] in each suffix."""
        return torch.tensor(self.lengths, device=self.embedded.device) - 1


def label_suffixes(clip: FrozenClip, texts: list[str]) -> Suffixes:
    """Embed the suffixes of C prompts; each text is a label and what follows it, "cat." for instance.

    Raises:
        TrainerError: a text is empty or contains a special token.
    """
    for text in texts:
        if not text.strip():
            raise TrainerError("a label's prompt is empty; name the label in the bank")
    rows = [[*clip.token_ids(text), clip.tokenizer.eot_token_id] for text in texts]
    embedded = torch.zeros(len(rows), max(len(row) for row in rows), clip.text_width, device=clip.device)
    for index, row in enumerate(rows):
        embedded[index, : len(row)] = clip.embed(row)
    return Suffixes(embedded, tuple(len(row) for row in rows))


class _PrefixStates(NamedTuple):
    """The prefixes' activations that the suffixes need.

    Attributes:
        keys, values: of each shared layer, (N, heads, Q, width / heads).
        tokens: packed, after the last shared layer; None if all layers are shared.
    """

    keys: list[Tensor]
    values: list[Tensor]
    tokens: Tensor | None


class PrefixEncoder:
    """Text features of the prompts [prefix_n, suffix_c] of all pairs (n, c), with each prefix encoded once.

    Everything that depends on lengths only is precomputed by the constructor.

    Args:
        clip: the frozen model.
        lengths: P_n of the N prefixes, including [SOS] and learnable tokens.
        suffixes: of the C labels.
        chunk: prompts encoded at once, rounded down to whole labels but at least one; None encodes all at once.
        injections: the learnable tokens of deeper layers.

    Raises:
        TrainerError: a prefix and the longest suffix together exceed the context.
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
        self._chunks = [self._make_chunk(slice(start, min(start + step, count))) for start in range(0, count, step)]

    def __call__(self, prefixes: Sequence[Tensor], injected: Sequence[Tensor] = ()) -> Tensor:
        """Encode all prompts.

        Args:
            prefixes: N embeddings (P_n, Dt) that begin with [SOS], without positional embeddings.
            injected: the tokens of each injection, (K, Dt), or (C, K, Dt) if they are per label.

        Returns:
            (N, C, D), not normalised; differentiable with respect to `prefixes` and `injected`.
        """
        with self.clip.autocast():
            states = self._run_prefixes(prefixes, injected)
        if len(self._chunks) == 1:
            return self._features(self._chunks[0], states, injected)
        # The tower draws no random numbers, so no generator state has to be preserved.
        features = [
            checkpoint(self._features, chunk, states, injected, use_reentrant=False, preserve_rng_state=False)
            for chunk in self._chunks
        ]
        return torch.cat(features, dim=1)

    def _make_chunk(self, labels: slice) -> SuffixChunk:
        inserted = {
            layer: sum(self.injections[i].count for i in injections_at(self.injections, layer, inserted=True))
            for layer in range(self.shared_layers)
        }
        needs_full = self.shared_layers < len(self.clip.model.transformer.resblocks)
        embedded, lengths = self.suffixes.embedded[labels], self.suffixes.lengths[labels]
        return SuffixChunk.of(self.clip, self.packing, embedded, lengths, inserted, labels, self.injections, needs_full)

    def _run_prefixes(self, prefixes: Sequence[Tensor], injected: Sequence[Tensor]) -> _PrefixStates:
        """Run the prefixes through the layers that all labels share."""
        positions = self.clip.model.positional_embedding
        tokens = torch.cat([prefix + positions[: len(prefix)] for prefix in prefixes])
        blocks = self.clip.model.transformer.resblocks
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for layer, block in enumerate(blocks[: self.shared_layers]):
            tokens, packing, kept = self._inject(layer, tokens, injected)
            query, key, value = project_qkv(block, tokens, packing.pad_index)
            keys.append(key)
            values.append(value)
            if layer == len(blocks) - 1:  # the last layer's output is needed at [EOT] only
                return _PrefixStates(keys, values, None)
            tokens = finish_block(block, tokens, packing.pack(attend(query, key, value, causal=True)))
            tokens = tokens if kept is None else tokens.index_select(0, kept)
        return _PrefixStates(keys, values, tokens)

    def _inject(self, layer: int, tokens: Tensor, injected: Sequence[Tensor]) -> tuple[Tensor, Packing, Tensor | None]:
        """Inject tokens into the prefixes before a layer.

        Returns:
            The packed tokens, their packing, and the rows to keep after the layer (None: all).
        """
        for i in injections_at(self.injections, layer, inserted=False):
            tokens = tokens.index_copy(0, self._replaced[i], _repeat(injected[i], len(self.packing.lengths), tokens))
        packing, kept = self.packing, None
        for i in injections_at(self.injections, layer, inserted=True):
            insertion = self._insertions[i]
            tokens = torch.cat([tokens, injected[i].to(tokens.dtype)]).index_select(0, insertion.order)
            packing, kept = insertion.packing, insertion.kept
        return tokens, packing, kept

    def _features(self, chunk: SuffixChunk, states: _PrefixStates, injected: Sequence[Tensor]) -> Tensor:
        """Features (N, labels, D) of a chunk of labels with all prefixes."""
        clip, blocks = self.clip, self.clip.model.transformer.resblocks
        with clip.autocast():
            tokens = chunk.embed()
            for layer, block in enumerate(blocks[: self.shared_layers]):
                last = layer == len(blocks) - 1
                tokens = chunk.run_layer(block, layer, tokens, states.keys[layer], states.values[layer], last)
            if chunk.full is not None and states.tokens is not None:
                tokens = self._run_full_prompts(chunk, chunk.full, torch.cat([states.tokens, tokens]), injected)
        features = clip.model.ln_final(tokens.to(clip.model.text_projection.dtype)) @ clip.model.text_projection
        return features.unflatten(0, (len(self.packing.lengths), -1))

    def _run_full_prompts(
        self, chunk: SuffixChunk, full: FullPrompts, tokens: Tensor, injected: Sequence[Tensor]
    ) -> Tensor:
        """Run full prompts through the layers without shared prefixes; the [EOT] tokens, (N · labels, Dt)."""
        tokens = tokens.index_select(0, full.order)
        count = len(self.packing.lengths)
        for layer, block in enumerate(self.clip.model.transformer.resblocks):
            if layer < self.shared_layers:
                continue
            for i in injections_at(self.injections, layer, inserted=False):
                per_label = self.injections[i].per_label
                given = injected[i][chunk.labels] if per_label else injected[i]
                repeats = count if per_label else count * chunk.count
                tokens = tokens.index_copy(0, full.replaced[i], _repeat(given.flatten(0, -2), repeats, tokens))
            query, key, value = project_qkv(block, tokens, full.packing.pad_index)
            tokens = finish_block(block, tokens, full.packing.pack(attend(query, key, value, causal=True)))
        return tokens.index_select(0, full.eot)


def _repeat(injected: Tensor, times: int, like: Tensor) -> Tensor:
    return injected.to(like.dtype).repeat(times, 1)


def encode_shared_prefixes(
    clip: FrozenClip, prefixes: Sequence[Tensor], suffixes: Suffixes, chunk: int | None = None
) -> Tensor:
    """Text features (N, C, D) of all pairs. For repeated encodings keep a `PrefixEncoder`."""
    return PrefixEncoder(clip, [len(prefix) for prefix in prefixes], suffixes, chunk)(prefixes)


def encode_shared_prefix(clip: FrozenClip, prefix: Tensor, suffixes: Suffixes, chunk: int | None = None) -> Tensor:
    """Text features (C, D) of the C prompts [prefix, suffix_c]: `encode_shared_prefixes` for a single prefix."""
    return encode_shared_prefixes(clip, [prefix], suffixes, chunk)[0]
