"""Zero-shot CLIP (Radford et al., ICML 2021): no training, one sentence per label."""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.config.settings import MethodSettings, NameTemplate
from trainer.data.batches import Batch
from trainer.heads.context import ContextConfig
from trainer.heads.evidence import Evidence
from trainer.heads.logit import Logit, LogitConfig
from trainer.heads.pooling import POOLED, Pooling, pooled_cosine, pooled_evidence
from trainer.methods.base import Method, MethodContext
from trainer.methods.registry import register


class ZeroShotConfig(MethodSettings, ContextConfig):
    """CLIP without any training."""

    name: Literal["zero-shot"] = "zero-shot"
    template: NameTemplate = "a photo of a {}."
    """The sentence that is encoded for each label; {} stands for the label."""
    pooling: Pooling = "max"
    """Score of the image feature, or of the best patch."""
    logit: LogitConfig = LogitConfig()
    """The affine map from cosines to logits."""


@register(ZeroShotConfig)
class ZeroShot(Method):
    """Scores are cosines to "a photo of a ⟨label⟩.", of the image feature or of the best patch."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.settings: ZeroShotConfig = context.settings
        self.prompts = [self.settings.template.replace("{}", name) for name in context.label_names]
        self.logit = Logit(self.settings.logit).requires_grad_(False)
        if self.context_term is not None:
            self.context_term.requires_grad_(False)
        self.text = F.normalize(self.clip.encode_texts(self.prompts), dim=-1)

    def text_features(self) -> Tensor:
        """(C, D), normalised; frozen, so encoded once."""
        return self.text

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C)"""
        return self.logit(pooled_cosine(batch, text, self.settings.pooling))

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """The best patch, where that is what scores; no conditions."""
        return pooled_evidence(batch, text, self.settings.pooling)

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters (none)."""
        title = self.title(f"zero-shot, {POOLED[self.settings.pooling]}")
        return {"title": title, "trainable": self.trainable(), "prompts": self.prompts}
