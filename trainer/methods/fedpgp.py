"""FedPGP (Cui et al., ICML 2024): a shared context with each client's own low-rank change to it.

Shape letters: B images, N contexts, C labels, n tokens of a context, r rank, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainer.config.settings import MethodSettings
from trainer.config.space import Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.regions import RegionConfig, RegionHead, patch_evidence, pool_regions
from trainer.methods.base import MethodContext, normal
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register


class FedPgpConfig(MethodSettings, RegionConfig):
    """FedPGP (Cui et al., ICML 2024)."""

    name: Literal["fedpgp"] = "fedpgp"
    contexts: int = Field(2, ge=1)
    """N, contexts of which a label's scores are the mean. The released variant scores with the first alone."""
    context_tokens: int = Field(16, ge=1)
    """n, learnable tokens before the label."""
    rank: int = Field(4, ge=1)
    """r, the rank of a client's own change."""
    contrast: float = Field(1.0, ge=0)
    """μ, the weight of the contrast, relative to the asymmetric loss."""
    contrast_temperature: float = Field(0.5, gt=0)
    """τ, by which cosines are divided in the contrast."""


@register(FedPgpConfig)
class FedPGP(PromptedRegions):
    """Contexts p = σ + U V. The contrast keeps the text of σ near CLIP's own, and that of p away from it.

    Exchanged: `shared` σ (N, n, Dt), and in the clean variant the logit's scale and bias. Personal in the clean
    variant, exchanged in the released one: `left` U (N, n, r) and `right` V (N, r, Dt).
    """

    def __init__(self, context: MethodContext) -> None:
        self.settings: FedPgpConfig = context.settings
        s, generator = self.settings, context.generator
        super().__init__(context, [s.context_tokens] * (2 * s.contexts))
        width = self.clip.text_width
        self.shared = normal((s.contexts, s.context_tokens, width), generator)
        self.left = normal((s.contexts, s.context_tokens, s.rank), generator)
        self.right = normal((s.contexts, s.rank, width), generator)
        self.head = RegionHead(s)
        self.clean = s.variant == "clean"
        # As published, the guidance is by the placeholders of the learnable tokens, not by a sentence.
        self.guide = self.frozen_text("a photo of a {}." if self.clean else f"{'X ' * s.context_tokens}{{}}.")

    @property
    def personal(self) -> tuple[str, ...]:
        """The low-rank change, which the released program averages too."""
        return ("left", "right") if self.settings.variant == "clean" else ()

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """The learning rate, and the weight of the contrast."""
        return {
            **super().search_space(settings),
            "method.contrast": logarithmic(0.1, 200.0),
        }

    def text_features(self) -> Tensor:
        """(2, N, C, D) of the whole contexts p and of their shared part σ; not normalised."""
        whole = self.shared + self.left @ self.right
        return self.encode_contexts([*whole, *self.shared]).unflatten(0, (2, -1))

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        logits: Tensor = self.head.logit(
            pool_regions(batch.dense(), self._scoring(text), self.head.norm).scores.mean(1)
        )
        return logits

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor:
        """The contrast: cross-entropy of the cosines of σ's text with CLIP's own text, and with that of p.

        As published, the released variant takes the softmax over labels instead of these two, and the first label for
        the right one.
        """
        whole, shared = text[0, : self._scored], text[1, : self._scored]
        pairs = torch.stack(
            [
                F.cosine_similarity(shared, self.select_seen(self.guide), dim=-1),
                F.cosine_similarity(shared, whole, dim=-1),
            ]
        )
        scores = pairs.flatten(1) / self.settings.contrast_temperature
        logarithms = scores.log_softmax(0)[0] if self.clean else scores.log_softmax(1)[:, 0]
        return -self.loss_settings.weight * self.settings.contrast * logarithms.mean()

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches, averaged over contexts."""
        weights = pool_regions(batch.dense(), self._scoring(text), self.head.norm).weights
        return patch_evidence(weights.mean(1)[..., 1:].mT)

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        return self.description("fedpgp" if self.clean else "fedpgp, as released", self.settings.context_tokens)

    @property
    def _scored(self) -> int:
        """The number of contexts that are scored and contrasted: as published, the others are never used."""
        return self.settings.contexts if self.clean else 1

    def _scoring(self, text: Tensor) -> Tensor:
        return text[0, : self._scored]
