"""Random transport problems."""

from __future__ import annotations

import torch
from torch import Tensor


def problem(seed: int, batch: int = 2, rows: int = 7, columns: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Costs in [0, 1], and row and column marginals that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(batch, rows, columns, generator=generator)
    a = torch.rand(batch, rows, generator=generator) + 0.1
    b = torch.rand(batch, columns, generator=generator) + 0.1
    return cost, a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
