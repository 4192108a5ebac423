"""PositiveCoOp (Rawlekar et al., WACV 2025) with federated averaging: a positive prompt, a negative vector per label.

Shape letters: B images, C labels, n context tokens, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.config.settings import MethodSettings
from trainer.config.space import Choice, Dimension
from trainer.data.batches import Batch
from trainer.heads.dual import dual_logits, dual_pooling
from trainer.heads.evidence import Evidence
from trainer.heads.regions import patch_evidence
from trainer.methods.base import MethodContext, normal, start_from
from trainer.methods.federated import ParameterGroup
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register

CONTEXT_RATE = 0.01
"""Factor of the context's learning rate in the clean variant, as in the authors' own program."""

NO_LABEL = "a photo."
"""The text from which the negative vectors start in the clean variant."""


class PosCoOpConfig(MethodSettings):
    """PositiveCoOp (Rawlekar et al., WACV 2025)."""

    name: Literal["poscoop"] = "poscoop"
    variant: Literal["clean", "released"] = "clean"
    """"clean": the label's vectors are trained and exchanged; "released": they are random and stay so."""
    context_tokens: int = Field(16, ge=1)
    """n, learnable tokens before the label."""


@register(PosCoOpConfig)
class PosCoOp(PromptedRegions):
    """The positive text of a label is a prompt's feature plus a vector, the negative text is a vector.

    Exchanged: `context` (n, Dt), and the vectors `offset` and `negative`, both (C, D). In the clean variant they start
    from 0 and from the feature of "a photo.", so that training starts from CLIP. The released variant draws both from
    N(0, 1) and keeps them.
    """

    def __init__(self, context: MethodContext) -> None:
        self.settings: PosCoOpConfig = context.settings
        tokens, generator = self.settings.context_tokens, context.generator
        super().__init__(context, [tokens])
        self.context = normal((tokens, self.clip.text_width), generator)
        shape = (len(self.names), self.clip.dim)
        if self.settings.variant == "clean":
            self.offset = nn.Parameter(torch.zeros(shape))
            self.negative = start_from(self.clip.encode_texts([NO_LABEL]).expand(shape))
        else:
            self.register_buffer("offset", torch.randn(shape, generator=generator))
            self.register_buffer("negative", torch.randn(shape, generator=generator))

    offset: Tensor
    negative: Tensor

    @property
    def exchanged_buffers(self) -> tuple[str, ...]:
        """In the released variant the vectors, so that a state is complete."""
        return () if self.settings.variant == "clean" else ("offset", "negative")

    @property
    def fixed_buffers(self) -> tuple[str, ...]:
        """In the released variant the vectors, which are drawn by the seed and not trained."""
        return self.exchanged_buffers

    def parameter_groups(self) -> list[ParameterGroup]:
        """In the clean variant a smaller rate for the context, and no weight decay."""
        if self.settings.variant == "released":
            return []
        tables = ParameterGroup(("offset", "negative"), weight_decay=0.0)
        return [ParameterGroup(("context",), factor=CONTEXT_RATE, weight_decay=0.0), tables]

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """The learning rate, and the number of tokens."""
        return {
            **super().search_space(settings),
            "method.context_tokens": Choice((4, 16)),
        }

    def text_features(self) -> Tensor:
        """(2, C, D), negatives and positives; not normalised."""
        (positive,) = self.encode_contexts([self.context])
        return torch.stack([self.negative, positive + self.offset])

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        return dual_logits(batch.dense(), text)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Weights with which patches are pooled for both texts."""
        return patch_evidence(dual_pooling(batch.dense(), text).weights[..., 1:].mT)

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        title = "poscoop" if self.settings.variant == "clean" else "poscoop, as released"
        return self.description(title, self.settings.context_tokens)
