"""The endings of prompts behind their prefixes: which token is where, and a layer's work on them.

Shape letters: N prefixes, Q positions of the longest prefix, S suffix positions, C labels, Dt text width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer.backbone.block import Packing, attended, projected, residual
from trainer.backbone.clip import FrozenClip
from trainer.backbone.injections import Injection, replaced_rows


def split_layer(injections: Sequence[Injection], layers: int) -> int:
    """How many layers all labels share: up to the first injection of a label's own.

    Raises:
        ValueError: tokens that are inserted where labels no longer share the prefix.
    """
    split = min((one.layer for one in injections if one.own_to == "label"), default=layers)
    if any(one.inserted and one.layer >= split for one in injections):
        raise ValueError("tokens are inserted only in layers that all labels share")
    return split


@dataclass(frozen=True)
class Whole:
    """Whole prompts of all pairs, packed, for layers that labels don't share.

    Attributes:
        packing: of the N C prompts, prefix by prefix.
        order: rows of [packed prefixes, packed endings] in this packing.
        eot: (N C,) row of each prompt's [EOT].
        replaced: (N C K,) rows that each injection takes the place of, by its number.
    """

    packing: Packing
    order: Tensor
    eot: Tensor
    replaced: Mapping[int, Tensor]

    @classmethod
    def of(cls, prefixes: Packing, endings: Packing, injections: Sequence[Injection], device: torch.device) -> Whole:
        """Each prefix before each of its endings."""
        labels = len(endings.lengths) // len(prefixes.lengths)
        behind = sum(prefixes.lengths)
        order: list[int] = []
        lengths: list[int] = []
        for index, (start, length) in enumerate(zip(endings.starts(), endings.lengths, strict=True)):
            first, own = prefixes.starts()[index // labels], prefixes.lengths[index // labels]
            order += [*range(first, first + own), *range(behind + start, behind + start + length)]
            lengths.append(own + length)
        packing = Packing.of(lengths, device)
        eot = [start + length - 1 for start, length in zip(packing.starts(), lengths, strict=True)]
        return cls(
            packing,
            torch.tensor(order, device=device),
            torch.tensor(eot, device=device),
            {i: replaced_rows(packing, one, device) for i, one in enumerate(injections) if not one.inserted},
        )


@dataclass(frozen=True)
class Endings:
    """The endings of some labels behind all prefixes.

    Attributes:
        labels: which of the C labels.
        count: how many.
        embedded: (count, S, Dt).
        positions: (N, S, Dt) positional embeddings of the endings, which depend on the prefix' length.
        packing: of the N · count endings.
        visible: for each number of inserted tokens (N · count, 1, S, Q + inserted + S), what a position sees: all of
            its prefix, and of its ending what came before.
        inserted: how many tokens are inserted before each shared layer.
        eot: (N · count,) packed row of [EOT] of each ending.
        rows, at: (N · count,) the endings, and the position of [EOT] in each.
        whole: for layers that labels don't share; None where they share all.
    """

    labels: slice
    count: int
    embedded: Tensor
    positions: Tensor
    packing: Packing
    visible: Mapping[int, Tensor]
    inserted: Mapping[int, int]
    eot: Tensor
    rows: Tensor
    at: Tensor
    whole: Whole | None

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
        unshared: bool,
    ) -> Endings:
        """Work out everything that depends on lengths alone.

        Args:
            clip: whose positional embeddings.
            prefixes: packing of the N prefixes.
            embedded: (count, S, Dt), the labels' endings.
            lengths: of each ending.
            inserted: see the attributes.
            labels: which labels these are.
            injections: where tokens enter deeper layers.
            unshared: whether the deeper layers see whole prompts.
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
            rows=torch.arange(len(packing.lengths), device=device),
            at=torch.tensor(packing.lengths, device=device) - 1,
            whole=Whole.of(prefixes, packing, injections, device) if unshared else None,
        )

    def placed(self) -> Tensor:
        """The endings' tokens with their positions, packed."""
        return self.packing.pack((self.positions[:, None] + self.embedded).flatten(0, 1))

    def behind(self, block: Any, layer: int, tokens: Tensor, keys: Tensor, values: Tensor, last: bool) -> Tensor:
        """A layer's work on the endings, which see their prefixes' keys and values.

        Returns:
            The packed tokens; of the last layer only what stands at [EOT], (N · count, Dt).
        """
        visible = self.visible[self.inserted[layer]]
        query, key, value = projected(block, tokens, self.packing.place)
        if last:
            query, visible = (part[self.rows, :, self.at][:, :, None] for part in (query, visible))
        key = torch.cat([keys.repeat_interleave(self.count, 0), key], dim=2)
        value = torch.cat([values.repeat_interleave(self.count, 0), value], dim=2)
        found = attended(query, key, value, visible)
        if last:
            return residual(block, tokens.index_select(0, self.eot), found[:, 0])
        return residual(block, tokens, self.packing.pack(found))


def _visible(prefixes: Packing, labels: int, size: int, inserted: int) -> Tensor:
    longest = max(prefixes.lengths) + inserted
    lengths = torch.tensor(prefixes.lengths) + inserted
    before = (torch.arange(longest) < lengths[:, None]).repeat_interleave(labels, 0)[:, None].expand(-1, size, -1)
    causal = torch.ones(size, size, dtype=torch.bool).tril().expand(len(before), -1, -1)
    return torch.cat([before, causal], dim=-1)[:, None]
