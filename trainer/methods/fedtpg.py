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

from trainer.backbone.text import PrefixEncoder, label_suffixes
from trainer.config.settings import MethodSettings
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import Method, MethodContext, normal
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
class FedTPG(Method):
    """Prompts [SOS] g_1 … g_n ⟨label⟩ . [EOT] whose context g is generated from the labels' names.

    In training the context is generated from the names of the labels that training sees, in evaluation from all names,
    as the paper does for the classes of a new task. Exchanged: the generator, and in the clean variant the logit's
    scale and bias.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.settings: FedTpgConfig = context.settings
        clip = self.clip
        self.generator = PromptGenerator(clip.text_width, clip.dim, self.settings, context.generator)
        self.head = RegionHead(self.settings)
        names = [name.replace("_", " ") for name in context.label_names]
        self.names = F.normalize(clip.encode_texts(names), dim=-1)
        self.start = clip.embed([clip.tokenizer.sot_token_id])
        suffixes = label_suffixes(clip, [f"{name}." for name in names])
        self.encode = PrefixEncoder(clip, [1 + self.settings.context_tokens], suffixes, context.text_chunk)

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        names = self.names
        if self.training and self.seen is not None:
            names = names.index_select(0, self.seen)
        (features,) = self.encode([torch.cat([self.start, self.generator(names)])])
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
        tokens = " ".join(f"[g{i + 1}]" for i in range(self.settings.context_tokens))
        return {
            "title": "fedtpg" if self.settings.variant == "clean" else "fedtpg, as released",
            "trainable": self.trainable(),
            "prompts": [f"{tokens} {name}." for name in self.label_names],
        }
