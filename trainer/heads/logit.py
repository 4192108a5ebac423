"""The affine map from scores to logits."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.config.settings import Settings


class LogitConfig(Settings):
    """Initial values of the learnable scalars of ℓ = α (z - β0) (METHOD.md §4)."""

    scale: float = Field(20.0, gt=0)
    """Initial α."""
    bias: float = 0.25
    """Initial β0, a cosine."""


def log_odds(log_probability: Tensor) -> Tensor:
    """The logit whose sigmoid is a probability given by its logarithm, which keeps tiny probabilities apart."""
    bounded = log_probability.clamp_max(-1e-6)  # a probability of 1 has no logit
    return bounded - torch.log(-torch.expm1(bounded))


class Logit(nn.Module):
    """ℓ = α (z - β0) with learnable α and β0 (METHOD.md §4)."""

    def __init__(self, start: LogitConfig) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(start.scale))
        self.bias = nn.Parameter(torch.tensor(start.bias))

    def forward(self, scores: Tensor) -> Tensor:
        """Logits of the same shape as the scores."""
        return self.scale * (scores - self.bias)
