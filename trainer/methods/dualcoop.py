"""DualCoOp (Sun et al., NeurIPS 2022) with federated averaging: a positive and a negative context for all labels.

Shape letters: B images, C labels, n context tokens, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Choice, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.dual import dual_logits, dual_pooling
from trainer.heads.evidence import Evidence
from trainer.heads.regions import patch_evidence
from trainer.methods.base import MethodContext, normal
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register


class DualCoOpConfig(MethodSettings):
    """DualCoOp (Sun et al., NeurIPS 2022). The published program has no fault to mend, so there is one variant."""

    name: Literal["dualcoop"] = "dualcoop"
    context_tokens: int = Field(16, ge=1)
    """n, learnable tokens before the label, of each of the two contexts."""


@register(DualCoOpConfig)
class DualCoOp(PromptedRegions):
    """Two prompts a label, one for its presence and one for its absence; the logit is the difference of their scores.

    Exchanged: `negative` and `positive`, both (n, Dt).
    """

    def __init__(self, context: MethodContext) -> None:
        self.settings: DualCoOpConfig = context.settings
        tokens = self.settings.context_tokens
        super().__init__(context, [tokens, tokens])
        self.negative = normal((tokens, self.clip.text_width), context.generator)
        self.positive = normal((tokens, self.clip.text_width), context.generator)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """A higher learning rate than others, since the two prompts begin alike; the number of tokens."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-3, 1e-1),
            "method.context_tokens": Choice((4, 16)),
        }

    def text_features(self) -> Tensor:
        """(2, C, D), negatives and positives; not normalised."""
        return self.encode_contexts([self.negative, self.positive])

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        return dual_logits(batch.dense(), text)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Weights with which patches are pooled for both prompts."""
        return patch_evidence(dual_pooling(batch.dense(), text).weights[..., 1:].mT)

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        return self.description("dualcoop", self.settings.context_tokens)
