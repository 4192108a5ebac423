"""FedMVP (Singha et al., ICCV 2025) as the published multi-label program reduces it (BASELINES.md §8).

The image cross-attends to the labels' text features, and the result becomes a visual prompt of the image tower. The
authors' own model, which attends to attributes from an LLM, is `fedmvp_attributes`.

Shape letters: B images, L tokens, M patches, C labels, n context tokens, D joint width, Dt (Dv) text (vision) width.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.image_prompt import encode_with_image_prompt, image_prompt_layers
from trainer.heads.losses import inconsistency
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import MethodContext, normal
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register

TEMPLATE = "a photo of a {}."
"""The sentence whose frozen text features the prompts are kept near."""


class FedMvpConfig(MethodSettings, RegionConfig):
    """FedMVP (Singha et al., ICCV 2025) in the published reduction."""

    name: Literal["fedmvp"] = "fedmvp"
    context_tokens: int = Field(4, ge=1)
    """n, learnable tokens before the label."""
    latent: int = Field(64, ge=1)
    """Hidden width of the network that makes the visual prompt."""
    heads: int = Field(8, ge=1)
    """Heads of the cross-attention from the image to the prompts; divides the joint width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the cross-attention weights."""
    consistency: float = Field(1.0, ge=0)
    """Weight of the term that keeps text features near CLIP's own, relative to the asymmetric loss."""


@register(FedMvpConfig)
class FedMVP(PromptedRegions):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT], and one visual prompt made from the image and all of them.

    Exchanged: `context` (n, Dt), the cross-attention, the network that maps its result to a visual prompt (Dv), and in
    the clean variant the logit's scale and bias.
    """

    reads = "tokens@0"
    """The visual prompt is added after ln_pre, so the input of block 0 and the image feature are frozen."""

    def __init__(self, context: MethodContext) -> None:
        s: FedMvpConfig = context.settings
        self.settings = s
        super().__init__(context, [s.context_tokens])
        self.context = normal((s.context_tokens, self.clip.text_width), context.generator)
        self.attention, self.visual_prompt = image_prompt_layers(
            self.clip, s.heads, s.latent, s.dropout, context.generator
        )
        self.head = RegionHead(s)
        self.frozen = self.frozen_text(TEMPLATE)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """A lower learning rate than others, and how near the text features are kept to CLIP's."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-4, 1e-2),
            "method.consistency": logarithmic(0.1, 100.0),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        (features,) = self.encode_contexts([self.context])
        return features

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token, the visual prompt and the patches."""
        logits: Tensor = self.head(self._tokens(batch, text), text)
        return logits

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor:
        """The distance of the text features from CLIP's own, weighted together with the asymmetric loss."""
        return (
            self.loss_settings.weight * self.settings.consistency * inconsistency(text, self.select_seen(self.frozen))
        )

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches, without those of the class token and the visual prompt."""
        return self.head.evidence(self._tokens(batch, text), text, slice(2, None))

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        title = "fedmvp" if self.settings.variant == "clean" else "fedmvp, as released"
        return self.description(title, self.settings.context_tokens)

    def _tokens(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, L + 1, D)"""
        return encode_with_image_prompt(self.clip, batch, text, self.attention, self.visual_prompt)
