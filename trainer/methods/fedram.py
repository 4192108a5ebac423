"""RAM (Tan et al., CVPR 2025) with federated averaging: adapters of a local stream, patches matched by transport.

Shape letters: B images, L = 1 + M tokens, M patches, C labels, D joint width, Dt (Dv) text (vision) width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainer.backbone.injections import Injection
from trainer.backbone.local_adapter import AdaptedBlocks
from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.logit import log_odds
from trainer.heads.losses import contrastive_loss
from trainer.heads.taught_matching import TaughtMatching
from trainer.methods.base import MethodContext, normal
from trainer.methods.federated import ParameterGroup
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register
from trainer.seeding import seeded

WORDS = "A photo of a"
"""The words before the label."""

RELEASED_ADAPTER_RATE = 5e-6
"""The adapters' learning rate in the released variant, whatever `optimiser.learning_rate` is."""

ADAPTER_RATE = RELEASED_ADAPTER_RATE / 1e-3
"""The same as a factor of the prompts' rate."""


class FedRamConfig(MethodSettings):
    """RAM (Tan et al., CVPR 2025)."""

    usual: ClassVar[Mapping[str, Any]] = {"optimiser.learning_rate": 1e-3}

    name: Literal["fedram"] = "fedram"
    variant: Literal["clean", "released"] = "clean"
    """"released": scores pass another sigmoid, unknown labels are absent, an image's plan depends on its batch, and the
    adapters' learning rate is fixed; "clean": without these."""
    vision_layers: int = Field(3, ge=1)
    """Last layers of the image tower with adapters and prompts; at most all."""
    text_layers: int = Field(6, ge=1)
    """Last layers of the text tower with prompts; at most all."""
    vision_tokens: int = Field(8, ge=1)
    """Prompts of each of those layers of the image tower."""
    text_tokens: int = Field(4, ge=1)
    """Prompts of each of those layers of the text tower."""
    temperature: float = Field(2e-4, gt=0)
    """Of the local logits; the global ones have CLIP's own."""
    entropy: float = Field(0.1, gt=0)
    """λ of the transport."""
    teacher: float = Field(0.05, ge=0)
    """In training, weight of the teacher in the cost, and addition to λ."""
    adapter_rate: float | None = Field(None, gt=0)
    """Of the clean variant: factor of the adapters' learning rate; None: 0.005, as of the released rates."""

    @model_validator(mode="after")
    def _rate_is_used(self) -> Self:
        if self.variant == "released" and self.adapter_rate is not None:
            raise ValueError(f"adapter_rate has no effect with variant=released, which has {RELEASED_ADAPTER_RATE:g}")
        return self


class Compared(NamedTuple):
    """An image's two streams beside the text features."""

    whole: Tensor
    """Logits of the image feature, (B, C)."""
    patches: Tensor
    """Cosines of the local stream, (B, 1, M, C)."""


@register(FedRamConfig)
class FedRAM(PromptedRegions):
    """The mean of two softmaxes over labels: of the image feature, and of patches matched to labels by transport.

    Exchanged: prompts of both towers' last layers, the adapters of the local stream, and their batch statistics.
    """

    def __init__(self, context: MethodContext) -> None:
        s: FedRamConfig = context.settings
        self.settings = s
        clip = context.clip
        towers = (clip.model.transformer, clip.model.visual.transformer)
        text, vision = (len(tower.resblocks) for tower in towers)
        prompted = range(max(0, text - s.text_layers), text)
        self.adapted = range(max(0, vision - s.vision_layers), vision)
        self.reads = f"streams@{self.adapted.start}"
        words = clip.embed(clip.token_ids(WORDS))
        injections = [Injection(layer, 1, s.text_tokens, inserted=True) for layer in prompted]
        super().__init__(context, [len(words)], injections)
        self.words, self.frozen = words, self.frozen_text(WORDS + " {}.")
        generator = context.generator
        self.text_prompts = nn.ParameterList(normal((s.text_tokens, clip.text_width), generator) for _ in prompted)
        prompts = [normal((s.vision_tokens, clip.vision_width), generator) for _ in self.adapted]
        # torch modules are initialised from the global generator.
        with seeded(int(torch.randint(2**62, (), generator=generator)), torch.device("cpu")):
            self.blocks = AdaptedBlocks(clip, prompts)
        self.match = TaughtMatching(
            clip.patches,
            entropy=s.entropy,
            teacher=s.teacher,
            temperature=s.temperature,
            stop="marginal" if s.variant == "clean" else "published",
        )

    @property
    def exchanged_buffers(self) -> tuple[str, ...]:
        """The adapters' batch statistics."""
        return (*super().exchanged_buffers, "blocks.adapters")

    def parameter_groups(self) -> list[ParameterGroup]:
        """The adapters have a far smaller rate than the prompts."""
        if self.settings.variant == "released":
            return [ParameterGroup(("blocks.adapters",), learning_rate=RELEASED_ADAPTER_RATE)]
        return [ParameterGroup(("blocks.adapters",), factor=self.settings.adapter_rate or ADAPTER_RATE)]

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """Learning rates around the program's, since the default ruins the method; the teacher's weight."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-5, 1e-3),
            "method.teacher": logarithmic(0.01, 0.2),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        (features,) = self.encode_contexts([self.words], list(self.text_prompts))
        return features

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), whose sigmoid is the score; in the released variant, the score itself."""
        whole, patches = self.compare(batch, text)
        local, _ = self.match(patches, self.clip.scale)
        parts = torch.stack([whole.log_softmax(-1), local.log_softmax(-1)])
        score = parts.logsumexp(0) - math.log(2)
        if self.settings.variant == "released":
            return score.exp()
        return log_odds(score)

    def objective(self, batch: Batch, text: Tensor) -> Tensor:
        """The contrast of global and of local logits, instead of the asymmetric loss and its weight."""
        labels = batch.labels if self.settings.variant == "clean" else batch.labels.clamp_min(0)
        whole, patches = self.compare(batch, text)
        local, _ = self.match(patches, self.clip.scale, self.taught(batch, labels))
        return contrastive_loss(whole, labels) + contrastive_loss(local, labels)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Each label's share of the patches in the transport plan."""
        _, plan = self.match(self.compare(batch, text).patches, self.clip.scale)
        weights = plan / plan.sum(1, keepdim=True)
        return Evidence(weights, "the patches that transport gives to the label", None, None, None)

    def describe(self) -> dict[str, Any]:
        """Title, prompts, adapted layers and the number of trained parameters."""
        return {
            "title": "fedram" if self.settings.variant == "clean" else "fedram, as released",
            "trainable": self.trainable(),
            "adapted_layers": list(self.adapted),
            "prompts": [f"{WORDS} {name}." for name in self.names],
        }

    def taught(self, batch: Batch, labels: Tensor) -> Tensor:
        """What the frozen model adds to the transport's cost, (B, 1, M, C)."""
        seen = F.normalize(batch.patches, dim=-1) @ self.select_seen(self.frozen).T
        return self.match.added_cost(seen, labels == 0, self.clip.scale)

    def compare(self, batch: Batch, text: Tensor) -> Compared:
        """Run the adapted blocks, and compare both streams with the text features."""
        if batch.tokens is None or batch.local is None:
            raise ValueError("RAM reads both streams of the image tower: the batch lacks one")
        features = self.blocks(self.clip, batch.tokens, batch.local, text)
        whole, patches = (F.normalize(one, dim=-1) @ F.normalize(text, dim=-1).T for one in features)
        return Compared(self.clip.scale * whole, patches[:, None])
