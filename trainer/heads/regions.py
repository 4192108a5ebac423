"""Softmax pooling of image tokens for each label, the head of most published peers (BASELINES.md §0.3).

Shape letters: B images, L tokens of the image tower, M patches, C labels, D joint width.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from trainer.config.settings import Settings
from trainer.heads.evidence import Evidence
from trainer.heads.logit import Logit, LogitConfig

TokenNorm = Literal["channels", "tokens"]
"""Axis over which token features are normalised: over the channels, which gives cosines; or, as most published programs
do, over the tokens of each channel."""

POOLING_SCALE = 20.0
"""Factor of the similarities in the softmax over tokens."""

RELEASED_LOGIT = LogitConfig(scale=100.0, bias=0.0)
"""The published programs' fixed logit: 5 times the pooled similarity, which has a factor of 20."""


class RegionConfig(Settings):
    """Which of its two forms the head of a published peer has."""

    variant: Literal["clean", "released"] = "clean"
    """"clean": without the released program's faults; "released": what it computes, faults included."""
    logit: LogitConfig = LogitConfig()
    """Of the clean variant. In the released one, the logit is fixed."""

    @model_validator(mode="after")
    def _logit_is_used(self) -> Self:
        if self.variant == "released" and self.logit != LogitConfig():
            raise ValueError("logit has no effect with variant=released, whose logit is fixed: leave it out")
        return self


class RegionPooling(NamedTuple):
    """Token weights and pooled scores of labels; … are axes of the text features, such as conditions."""

    weights: Tensor
    """(B, …, C, L), sums to 1 over tokens."""
    scores: Tensor
    """(B, …, C), weighted mean similarity."""


def pool_regions(features: Tensor, text: Tensor, norm: TokenNorm, temperature: float = 1.0) -> RegionPooling:
    """Pool each label's similarities to all tokens with weights softmax(20 s / temperature) over the tokens.

    Args:
        features: (B, L, D), not normalised.
        text: (…, C, D); normalised here.
        norm: of the features.
        temperature: of the softmax.
    """
    features = F.normalize(features, dim=-1 if norm == "channels" else 1)
    similarity = torch.einsum("bld,...cd->b...cl", features, F.normalize(text, dim=-1))
    weights = (similarity * (POOLING_SCALE / temperature)).softmax(-1)
    return RegionPooling(weights, (weights * similarity).sum(-1))


class RegionHead(nn.Module):
    """Logits of pooled similarities.

    The clean variant pools cosines, and learns scale and bias of the logit: cosines of CLIP are about 0.2 to 0.3 for
    every label, so that any fixed scale saturates. The released one normalises features over the tokens, with a fixed
    logit.
    """

    def __init__(self, settings: RegionConfig) -> None:
        super().__init__()
        clean = settings.variant == "clean"
        self.norm: TokenNorm = "channels" if clean else "tokens"
        self.logit = Logit(settings.logit if clean else RELEASED_LOGIT).requires_grad_(clean)

    def forward(self, features: Tensor, text: Tensor) -> Tensor:
        """Logits (B, C) from token features (B, L, D) and text features (C, D), neither normalised."""
        logits: Tensor = self.logit(pool_regions(features, text, self.norm).scores)
        return logits

    def evidence(self, features: Tensor, text: Tensor, patches: slice) -> Evidence:
        """The pooling weights of the patches, which stand at these positions of the L tokens."""
        return patch_evidence(pool_regions(features, text, self.norm).weights[..., patches].mT)


def patch_evidence(weights: Tensor) -> Evidence:
    """An explanation by the pooling weights (B, M, C) of the patches, normalised to sum 1 over the patches.

    They stay 0 where other tokens have all the weight, to the last bit.
    """
    total = weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
    return Evidence(weights / total, PATCH_WEIGHTS, None, None, None)


PATCH_WEIGHTS = "weights of softmax pooling, without those of the tokens that are no patches"
"""`Evidence.places_are` of pooled tokens."""
