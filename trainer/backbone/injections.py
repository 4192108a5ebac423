"""Deep prompts: learnable tokens that enter the text tower before one of its layers.

Shape letters: N prefixes, C labels, K injected tokens, Dt text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.backbone.block import Packing


@dataclass(frozen=True)
class Injection:
    """Where tokens enter the tower; the tokens themselves are passed to each encoding.

    Attributes:
        layer: the layer before which they enter, counted from 0.
        position: their first position in the prefix; [SOS] is position 0.
        count: K.
        inserted: False: they replace the tokens at positions position … position + K - 1 (MaPLe, Khattak et al., CVPR
            2023; TCP, Yao et al., CVPR 2024). True: they are inserted before `position` for this layer only, and
            dropped after it (RAM).
        per_label: False: all prompts get the same K tokens (K, Dt), and the prefix is still encoded once. True: each
            label has its own (C, K, Dt), and from this layer on every prompt has its own prefix.
    """

    layer: int
    position: int
    count: int
    inserted: bool = False
    per_label: bool = False

    def check(self, layers: int, shortest: int) -> None:
        """Check that it fits a tower of `layers` layers and prefixes of at least `shortest` tokens.

        Raises:
            ValueError: no such layer, positions outside the shortest prefix, or inserted tokens that are per label.
        """
        if not 0 <= self.layer < layers:
            raise ValueError(f"an injection before layer {self.layer}, of {layers} layers")
        last = self.position if self.inserted else self.position + self.count
        if not (self.position >= 1 and last <= shortest):
            raise ValueError(f"an injection at positions {self.position} to {last} of a prefix of {shortest} tokens")
        if self.inserted and self.per_label:
            raise ValueError("tokens per label replace others; they are not inserted")


@dataclass(frozen=True)
class Insertion:
    """How tokens are inserted into packed sequences for one layer.

    Attributes:
        packing: of the extended sequences.
        order: for each of its rows, the row in [packed tokens, inserted tokens].
        kept: its rows that are not inserted, in the original order.
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
    """(n K,) packed rows that an injection replaces, sequence by sequence."""
    first = [start + injection.position for start in packing.starts()]
    return torch.tensor([row + k for row in first for k in range(injection.count)], device=device)


def injections_at(injections: Sequence[Injection], layer: int, inserted: bool) -> list[int]:
    """Indices of the injections before a layer that insert, or that replace, tokens."""
    return [i for i, one in enumerate(injections) if one.layer == layer and one.inserted == inserted]
