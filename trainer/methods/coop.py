"""CoOp (Zhou et al., IJCV 2022) with federated averaging: one learnable context for all labels.

Shape letters: B images, M patches, C labels, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainer.backbone.text import PrefixEncoder, label_suffixes
from trainer.config.settings import MethodSettings
from trainer.config.space import Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.logit import Logit, LogitConfig
from trainer.heads.pooling import POOLED, Pooling, pooled_cosine, pooled_evidence
from trainer.methods.base import Method, MethodContext, normal
from trainer.methods.registry import register


class CoOpConfig(MethodSettings):
    """CoOp (Zhou et al., IJCV 2022): one context shared by all labels, against the image feature."""

    name: Literal["coop"] = "coop"
    context_tokens: int = Field(16, ge=1)
    """Learnable tokens in front of the label."""
    pooling: Pooling = "image"
    """Score of the image feature (as in CoOp), or of the best patch."""
    logit: LogitConfig = LogitConfig()
    """The affine map from cosines to logits."""


@register(CoOpConfig)
class CoOp(Method):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT] with a learnable context v."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.settings: CoOpConfig = context.settings
        self.context = normal((self.settings.context_tokens, self.clip.text_width), context.generator)
        self.logit = Logit(self.settings.logit)
        suffixes = label_suffixes(self.clip, [f"{name}." for name in context.label_names])
        self.start = self.clip.embed([self.clip.tokenizer.sot_token_id])
        self.encode = PrefixEncoder(self.clip, [1 + len(self.context)], suffixes, context.text_chunk)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """The learning rate, and the logits' initial scale."""
        return {
            **super().search_space(settings),
            "method.logit.scale": logarithmic(5.0, 50.0),
        }

    def text_features(self) -> Tensor:
        """(C, D), normalised."""
        (features,) = self.encode([torch.cat([self.start, self.context])])
        return F.normalize(features, dim=-1)

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), from cosines."""
        return self.logit(pooled_cosine(batch, text, self.settings.pooling))

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """See `pooled_evidence`."""
        return pooled_evidence(batch, text, self.settings.pooling)

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        tokens = " ".join(f"[v{i + 1}]" for i in range(self.settings.context_tokens))
        return {
            "title": f"coop, {POOLED[self.settings.pooling]}",
            "trainable": self.trainable(),
            "prompts": [f"{tokens} {name}." for name in self.label_names],
        }
