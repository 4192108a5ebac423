"""FedAWA (Shi et al., CVPR 2025) on prompts: the server weights clients by the directions of their updates.

FedAWA is an aggregation rule; the published multi-label program uses its name for prompts that are kept near CLIP's own
(BASELINES.md §9).

Shape letters: B images, C labels, n context tokens, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from trainer.config.settings import MethodSettings
from trainer.config.space import Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.losses import inconsistency
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import MethodContext, normal
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register


class FedAwaConfig(MethodSettings, RegionConfig):
    """FedAWA (Shi et al., CVPR 2025) on prompts."""

    name: Literal["fedawa"] = "fedawa"
    context_tokens: int = Field(4, ge=1)
    """n, learnable tokens before the label."""
    consistency: float = Field(1.0, ge=0)
    """Weight of the term that keeps text features near CLIP's own, relative to the asymmetric loss."""


@register(FedAwaConfig)
class FedAWA(PromptedRegions):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT], aggregated by FedAWA's rule.

    Exchanged: `context` (n, Dt), and in the clean variant the logit's scale and bias.
    """

    def __init__(self, context: MethodContext) -> None:
        self.settings: FedAwaConfig = context.settings
        super().__init__(context, [self.settings.context_tokens])
        self.context = normal((self.settings.context_tokens, self.clip.text_width), context.generator)
        self.head = RegionHead(self.settings)
        self.frozen = self.frozen_text("a photo of a {}.")

    @property
    def aggregation(self) -> str:
        """The paper's rule; in the released variant the program's, which is another."""
        return "fedawa" if self.settings.variant == "clean" else "fedawa-released"

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """The learning rate, how near the text features are kept to CLIP's, and the server's step size."""
        return {
            **super().search_space(settings),
            "method.consistency": logarithmic(0.1, 200.0),
            "federation.awa_rate": logarithmic(0.01, 1.0),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        (features,) = self.encode_contexts([self.context])
        return features

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        logits: Tensor = self.head(batch.dense(), text)
        return logits

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor:
        """The distance of the text features from CLIP's own, weighted together with the asymmetric loss."""
        weight = self.loss_settings.weight * self.settings.consistency
        return weight * inconsistency(text, self.select_seen(self.frozen))

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches."""
        return self.head.evidence(batch.dense(), text, slice(1, None))

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        title = "fedawa" if self.settings.variant == "clean" else "fedawa, as released"
        return self.description(title, self.settings.context_tokens)
