"""The suffixes of some labels' prompts: their layout, and a layer's computation on them given the shared prefixes.

Shape letters: N prefixes, Q positions of the longest prefix, S suffix positions, C labels, Dt text width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer.backbone.block import Packing, attend, finish_block, project_qkv
from trainer.backbone.clip import FrozenClip
from trainer.backbone.injections import Injection, replaced_rows


def split_layer(injections: Sequence[Injection], layers: int) -> int:
    """The number of layers in which all labels share the prefixes: those before the first per-label injection.

    Raises:
        ValueError: tokens are inserted into a layer without shared prefixes.
    """
    split = min((one.layer for one in injections if one.per_label), default=layers)
    if any(one.inserted and one.layer >= split for one in injections):
        raise ValueError("tokens are inserted only in layers that all labels share")
    return split


@dataclass(frozen=True)
class FullPrompts:
    """The full prompts of all (prefix, label) pairs, packed, for the layers without shared prefixes.

    Attributes:
        packing: of the N C prompts, prefix by prefix.
        order: for each of its rows, the row in [packed prefixes, packed suffixes].
        eot: (N C,) row of each prompt's [EOT].
        replaced: (N C K,) rows that each injection replaces, by the injection's index.
    """

    packing: Packing
    order: Tensor
    eot: Tensor
    replaced: Mapping[int, Tensor]

    @classmethod
    def of(
        cls, prefixes: Packing, suffixes: Packing, injections: Sequence[Injection], device: torch.device
    ) -> FullPrompts:
        """Every prefix followed by each of its suffixes."""
        labels = len(suffixes.lengths) // len(prefixes.lengths)
        offset = sum(prefixes.lengths)
        order: list[int] = []
        lengths: list[int] = []
        for index, (start, length) in enumerate(zip(suffixes.starts(), suffixes.lengths, strict=True)):
            prefix, prefix_length = prefixes.starts()[index // labels], prefixes.lengths[index // labels]
            order += [*range(prefix, prefix + prefix_length), *range(offset + start, offset + start + length)]
            lengths.append(prefix_length + length)
        packing = Packing.of(lengths, device)
        eot = [start + length - 1 for start, length in zip(packing.starts(), lengths, strict=True)]
        return cls(
            packing,
            torch.tensor(order, device=device),
            torch.tensor(eot, device=device),
            {i: replaced_rows(packing, one, device) for i, one in enumerate(injections) if not one.inserted},
        )


@dataclass(frozen=True)
class SuffixChunk:
    """The suffixes of some labels, after each of the N prefixes.

    Attributes:
        labels: which of the C labels.
        count: the number of labels.
        embedded: (count, S, Dt).
        positions: (N, S, Dt) positional embeddings of the suffixes, which depend on the prefix length.
        packing: of the N · count suffixes.
        visible: attention mask (N · count, 1, S, Q + inserted + S) for each number of inserted tokens: a position
            attends to its whole prefix and causally to its suffix.
        inserted: the number of tokens inserted before each shared layer.
        eot: (N · count,) packed row of each suffix' [EOT].
        sequences, eot_positions: (N · count,) indices of the suffixes, and the position of [EOT] in each.
        full: for the layers without shared prefixes; None if there are none.
    """

    labels: slice
    count: int
    embedded: Tensor
    positions: Tensor
    packing: Packing
    visible: Mapping[int, Tensor]
    inserted: Mapping[int, int]
    eot: Tensor
    sequences: Tensor
    eot_positions: Tensor
    full: FullPrompts | None

    @classmethod
    def of(
        cls,
        clip: FrozenClip,
        prefixes: Packing,
        embedded: Tensor,
        lengths: Sequence[int],
        inserted: Mapping[int, int],
        labels: slice,
        injections: Sequence[Injection],
        needs_full_prompts: bool,
    ) -> SuffixChunk:
        """Precompute everything that depends on lengths only.

        Args:
            clip: the model with the positional embeddings.
            prefixes: packing of the N prefixes.
            embedded: (count, S, Dt), the labels' suffixes.
            lengths: of the suffixes.
            inserted: see the attributes.
            labels: which labels these are.
            injections: the learnable tokens of deeper layers.
            needs_full_prompts: whether there are layers without shared prefixes.
        """
        device, count, size = embedded.device, len(lengths), max(lengths)
        embedded = embedded[:, :size]
        packing = Packing.of([*lengths] * len(prefixes.lengths), device)
        ends = [start + length - 1 for start, length in zip(packing.starts(), packing.lengths, strict=True)]
        table = clip.model.positional_embedding
        return cls(
            labels=labels,
            count=count,
            embedded=embedded,
            positions=torch.stack([table[length : length + size] for length in prefixes.lengths]),
            packing=packing,
            visible={extra: _visible(prefixes, count, size, extra).to(device) for extra in set(inserted.values())},
            inserted=inserted,
            eot=torch.tensor(ends, device=device),
            sequences=torch.arange(len(packing.lengths), device=device),
            eot_positions=torch.tensor(packing.lengths, device=device) - 1,
            full=FullPrompts.of(prefixes, packing, injections, device) if needs_full_prompts else None,
        )

    def embed(self) -> Tensor:
        """The suffixes' token embeddings with positional embeddings, packed."""
        return self.packing.pack((self.positions[:, None] + self.embedded).flatten(0, 1))

    def run_layer(self, block: Any, layer: int, tokens: Tensor, keys: Tensor, values: Tensor, last: bool) -> Tensor:
        """Run a shared layer on the suffixes, which attend to the prefixes' keys and values.

        Returns:
            The packed tokens; of the last layer only the [EOT] tokens, (N · count, Dt).
        """
        visible = self.visible[self.inserted[layer]]
        query, key, value = project_qkv(block, tokens, self.packing.pad_index)
        if last:
            query, visible = (part[self.sequences, :, self.eot_positions][:, :, None] for part in (query, visible))
        key = torch.cat([keys.repeat_interleave(self.count, 0), key], dim=2)
        value = torch.cat([values.repeat_interleave(self.count, 0), value], dim=2)
        attention = attend(query, key, value, visible)
        if last:
            return finish_block(block, tokens.index_select(0, self.eot), attention[:, 0])
        return finish_block(block, tokens, self.packing.pack(attention))


def _visible(prefixes: Packing, labels: int, size: int, inserted: int) -> Tensor:
    longest = max(prefixes.lengths) + inserted
    lengths = torch.tensor(prefixes.lengths) + inserted
    before = (torch.arange(longest) < lengths[:, None]).repeat_interleave(labels, 0)[:, None].expand(-1, size, -1)
    causal = torch.ones(size, size, dtype=torch.bool).tril().expand(len(before), -1, -1)
    return torch.cat([before, causal], dim=-1)[:, None]
