"""MaPLe (Khattak et al., CVPR 2023) with federated averaging: coupled deep prompts in both towers.

The published multi-label program scores labels by softmax pooling over image tokens (BASELINES.md §4).

Shape letters: B images, L tokens, M patches, C labels, n context tokens, D joint width, Dt (Dv) text (vision) width.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.backbone.injections import Injection
from trainer.backbone.vision import ExtraTokens, encode_dense
from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Choice, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import MethodContext, normal, start_from
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register
from trainer.seeding import seeded

WORDS = "a photo of a"
"""The words before the label; the context starts from the first of them and takes their place."""


class MapleConfig(MethodSettings, RegionConfig):
    """MaPLe (Khattak et al., CVPR 2023)."""

    name: Literal["maple"] = "maple"
    context_tokens: int = Field(2, ge=1, le=4)
    """n, learnable tokens in each layer of each tower."""
    depth: int = Field(9, ge=1)
    """Layers with prompts, from the first on; at most as many as the shallower tower has."""


@register(MapleConfig)
class MaPLe(PromptedRegions):
    """Prompts [SOS] v_1 … v_n of a ⟨label⟩ . [EOT]; linear maps of the text tower's prompts prompt the image tower.

    Exchanged: `context` (n, Dt), `deep_context` (n, Dt) of each further layer, the linear maps Dt → Dv of all of them,
    and in the clean variant the logit's scale and bias.
    """

    reads = "tokens@0"
    """The prompts join the image's tokens before the first block."""

    def __init__(self, context: MethodContext) -> None:
        self.settings: MapleConfig = context.settings
        clip, count = context.clip, self.settings.context_tokens
        towers = (clip.model.transformer, clip.model.visual.transformer)
        self.depth = min(self.settings.depth, *(len(tower.resblocks) for tower in towers))
        words = clip.embed(clip.token_ids(WORDS))
        deeper = range(1, self.depth)
        super().__init__(context, [len(words)], [Injection(layer, 1, count) for layer in deeper])
        self.words = words[count:]
        self.context = start_from(words[:count])
        shape = (count, clip.text_width)
        self.deep_context = nn.ParameterList(normal(shape, context.generator) for _ in deeper)
        # torch modules are initialised from the global generator.
        with seeded(int(torch.randint(2**62, (), generator=context.generator)), torch.device("cpu")):
            self.project, deep = (nn.Linear(clip.text_width, clip.vision_width) for _ in range(2))
        # As in the authors' program, the deep maps start alike.
        self.deep_project = nn.ModuleList(copy.deepcopy(deep) for _ in deeper)
        self.head = RegionHead(self.settings)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """A lower learning rate than others, since prompts are deep; the number of tokens."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-4, 1e-2),
            "method.context_tokens": Choice((2, 4)),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        (features,) = self.encode_contexts([torch.cat([self.context, self.words])], list(self.deep_context))
        return features

    def visual_prompts(self) -> ExtraTokens:
        """n tokens after the patches, and those that take their place in deeper layers."""
        pairs = zip(self.deep_project, self.deep_context, strict=True)
        deep = {layer: project(tokens) for layer, (project, tokens) in enumerate(pairs, start=1)}
        return ExtraTokens(self.project(self.context), "end", before_norm=True, deep=deep)

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token, the patches and the visual prompts."""
        logits: Tensor = self.head(self._tokens(batch), text)
        return logits

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches."""
        return self.head.evidence(self._tokens(batch), text, slice(1, 1 + self.clip.patches))

    def describe(self) -> dict[str, Any]:
        """Title, prompts, layers with prompts, and the number of trained parameters."""
        own = [f"[v{i + 1}]" for i in range(self.settings.context_tokens)]
        words = " ".join([*own, *WORDS.split()[self.settings.context_tokens :]])
        return {
            "title": "maple" if self.settings.variant == "clean" else "maple, as released",
            "trainable": self.trainable(),
            "depth": self.depth,
            "prompts": [f"{words} {name}." for name in self.names],
        }

    def _tokens(self, batch: Batch) -> Tensor:
        """(B, L + n, D)"""
        if batch.tokens is None:
            raise ValueError("MaPLe's visual prompts enter the image tower's first block: the batch has no tokens")
        return encode_dense(self.clip, batch.tokens, self.visual_prompts())
