"""CoOp (Zhou et al., IJCV 2022) with federated averaging: one learnable context for all labels.

Shape letters: B images, M patches, C labels, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.backbone.text import encode_shared_prefix, label_suffixes
from trainer.config import CoOpConfig
from trainer.methods.base import WHOLE_IMAGE, Batch, Evidence, Logit, Method, MethodContext, normal, register

POOLED: dict[str, str] = {"image": "image feature", "max": "best patch"}
"""What `pooled_cosine` compares with, in a reader's words."""


@register("coop")
class CoOp(Method):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT]; v is trained and exchanged."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.settings: CoOpConfig = context.settings
        self.context = normal((self.settings.context_tokens, self.clip.text_width), context.generator)
        self.logit = Logit(self.settings.logit)
        self.suffixes = label_suffixes(self.clip, [f"{name}." for name in context.label_names])

    def text_features(self) -> Tensor:
        """(C, D), normalised."""
        start = self.clip.embed([self.clip.tokenizer.sot_token_id])
        prefix = torch.cat([start, self.context])
        return F.normalize(encode_shared_prefix(self.clip, prefix, self.suffixes, self.text_chunk), dim=-1)

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C)"""
        return self.logit(pooled_cosine(batch, text, self.settings.pooling))

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """The best patch, where that is what scores; no conditions."""
        return pooled_evidence(batch, text, self.settings.pooling)

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        tokens = " ".join(f"[v{i + 1}]" for i in range(self.settings.context_tokens))
        return {
            "title": f"coop, {POOLED[self.settings.pooling]}",
            "trainable": self.trainable(),
            "prompts": [f"{tokens} {name}." for name in self.label_names],
        }


def pooled_cosine(batch: Batch, text: Tensor, pooling: Literal["image", "max"]) -> Tensor:
    """(B, C) cosines between the text features (C, D) and the image feature, or the best patch."""
    if pooling == "image":
        return F.normalize(batch.image, dim=-1) @ text.T
    return (F.normalize(batch.patches, dim=-1) @ text.T).amax(dim=1)


def pooled_evidence(batch: Batch, text: Tensor, pooling: Literal["image", "max"]) -> Evidence:
    """What `pooled_cosine` rests on: the best patch of each label, or the image as a whole."""
    if pooling == "image":
        return Evidence(None, WHOLE_IMAGE, None, None, None)
    cosines = F.normalize(batch.patches, dim=-1) @ text.T
    best = F.one_hot(cosines.argmax(dim=1), cosines.shape[1]).transpose(1, 2).to(cosines)
    return Evidence(best, "the one patch that scores best", None, None, None)
