"""Learnable tokens that enter the text tower before one of its layers (deep prompts).

Shape letters: N prefixes, C labels, K injected tokens, Dt text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainer.backbone.block import Packing


@dataclass(frozen=True)
class Injection:
    """Where tokens enter; the tokens themselves are given with each encoding.

    Attributes:
        layer: they enter before this layer, from 0.
        position: the first position that they take, in the prefix; [SOS] is position 0.
        count: K.
        inserted: False, they take the place of what stands at positions position … position + K - 1 (MaPLe, Khattak et
            al., CVPR 2023; TCP, Yao et al., CVPR 2024). True, they are put before `position` for this layer alone, and
            dropped behind it (RAM).
        own_to: "all", every prompt gets the same K tokens (K, Dt), and the prefix is still encoded once; "label", each
            label its own (C, K, Dt): from this layer on every prompt carries its own prefix.
    """

    layer: int
    position: int
    count: int
    inserted: bool = False
    own_to: Literal["all", "label"] = "all"

    def check(self, layers: int, shortest: int) -> None:
        """Whether it fits a tower and its prefixes.

        Raises:
            ValueError: no such layer, positions outside the shortest prefix, or tokens of a label that are inserted.
        """
        if not 0 <= self.layer < layers:
            raise ValueError(f"an injection before layer {self.layer}, of {layers} layers")
        last = self.position if self.inserted else self.position + self.count
        if not (self.position >= 1 and last <= shortest):
            raise ValueError(f"an injection at positions {self.position} to {last} of a prefix of {shortest} tokens")
        if self.inserted and self.own_to == "label":
            raise ValueError("tokens of a label's own replace others; they are not inserted")


@dataclass(frozen=True)
class Insertion:
    """Packed sequences with tokens inserted for one layer.

    Attributes:
        packing: of the longer sequences.
        order: rows of [packed tokens, inserted tokens] in the longer packing.
        kept: rows of the longer packing that are not inserted, in the shorter one's order.
    """

    packing: Packing
    order: Tensor
    kept: Tensor

    @classmethod
    def of(cls, packing: Packing, injection: Injection, device: torch.device) -> Insertion:
        """The insertion of `injection.count` tokens into every sequence of a packing."""
        order: list[int] = []
        kept: list[int] = []
        total = sum(packing.lengths)
        for start, length in zip(packing.starts(), packing.lengths, strict=True):
            rows = [*range(start, start + length)]
            rows[injection.position : injection.position] = range(total, total + injection.count)
            kept += [len(order) + at for at, row in enumerate(rows) if row < total]
            order += rows
        longer = Packing.of([length + injection.count for length in packing.lengths], device)
        return cls(longer, torch.tensor(order, device=device), torch.tensor(kept, device=device))


def replaced_rows(packing: Packing, injection: Injection, device: torch.device) -> Tensor:
    """(n K,) packed rows that an injection takes the place of, sequence by sequence."""
    first = [start + injection.position for start in packing.starts()]
    return torch.tensor([row + k for row in first for k in range(injection.count)], device=device)


def at_layer(injections: Sequence[Injection], layer: int, inserted: bool) -> list[int]:
    """Which injections enter before a layer in one of the two ways."""
    return [i for i, one in enumerate(injections) if one.layer == layer and one.inserted == inserted]
