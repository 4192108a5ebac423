"""FedTPG (Qiu et al., ICLR 2024): a network generates the prompts' context from the names of the labels.

The published multi-label program scores labels by softmax pooling over image tokens (BASELINES.md §5).

Shape letters: B images, L tokens, C labels, n context tokens, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import MethodContext, normal
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register
from trainer.seeding import seeded


class FedTpgConfig(MethodSettings, RegionConfig):
    """FedTPG (Qiu et al., ICLR 2024)."""

    name: Literal["fedtpg"] = "fedtpg"
    context_tokens: int = Field(4, ge=1)
    """n, generated tokens before the label."""
    heads: int = Field(4, ge=1)
    """Heads of the cross-attention to the names; divides the text width."""
    expansion: int = Field(4, ge=1)
    """Hidden width of the feed-forward network, in text widths."""


class PromptGenerator(nn.Module):
    """Generates n context tokens: learnable queries attend to the names' text features, then a gated network.

    Args:
        width: Dt.
        context_width: D.
        settings: tokens, heads and expansion.
        generator: for the initialisation.
    """

    def __init__(self, width: int, context_width: int, settings: FedTpgConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.queries = normal((settings.context_tokens, width), generator)
        hidden = settings.expansion * width
        # torch modules are initialised from the global generator.
        with seeded(int(torch.randint(2**62, (), generator=generator)), torch.device("cpu")):
            self.query_norm, self.name_norm = nn.LayerNorm(width), nn.LayerNorm(context_width)
            self.attention = nn.MultiheadAttention(width, settings.heads, kdim=context_width, vdim=context_width)
            self.norm = nn.LayerNorm(width)
            self.widen, self.narrow = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, names: Tensor) -> Tensor:
        """(n, Dt) from the normalised text features (C, D) of the names."""
        names = self.name_norm(names)
        # The queries are not added to the attention's result, in the paper and in the program.
        tokens, _ = self.attention(self.query_norm(self.queries), names, names, need_weights=False)
        value, gate = self.widen(self.norm(tokens)).chunk(2, dim=-1)
        result: Tensor = tokens + self.narrow(value * F.gelu(gate))
        return result


@register(FedTpgConfig)
class FedTPG(PromptedRegions):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT] whose context v is generated from the labels' names.

    In training the context is generated from the names of the labels that training sees, in evaluation from all names,
    as the paper does for the classes of a new task. Exchanged: the generator, and in the clean variant the logit's
    scale and bias.
    """

    def __init__(self, context: MethodContext) -> None:
        self.settings: FedTpgConfig = context.settings
        super().__init__(context, [self.settings.context_tokens])
        clip = self.clip
        self.generator = PromptGenerator(clip.text_width, clip.dim, self.settings, context.generator)
        self.head = RegionHead(self.settings)
        self.name_features = self.frozen_text("{}")

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """A lower learning rate than others, since a network is trained."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-4, 1e-2),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        names = self.select_seen(self.name_features) if self.training else self.name_features
        (features,) = self.encode_contexts([self.generator(names)])
        return features

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        logits: Tensor = self.head(batch.dense(), text)
        return logits

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches."""
        return self.head.evidence(batch.dense(), text, slice(1, None))

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        title = "fedtpg" if self.settings.variant == "clean" else "fedtpg, as released"
        return self.description(title, self.settings.context_tokens)
