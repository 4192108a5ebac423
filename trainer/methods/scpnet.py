"""SCPNet (Ding et al., CVPR 2023) with federated averaging: labels' text features pass a graph of related labels.

The prior on which labels are related is CLIP's own. Of the paper's losses there is the multi-label loss alone, as in
the published federated program (BASELINES.md §11).

Shape letters: B images, C labels, n context tokens, D joint width, Dt text width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.config.settings import MethodSettings
from trainer.config.space import Dimension, Range
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.logit import LogitConfig
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import MethodContext, start_from
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register

WORDS = "a photo of a"
"""The words from which the context starts."""

LEAK = 0.2
"""Slope of LeakyReLU below 0."""


class ScpNetConfig(MethodSettings):
    """SCPNet (Ding et al., CVPR 2023) as published for federated learning, without its faults."""

    name: Literal["scpnet"] = "scpnet"
    neighbours: int = Field(5, ge=1)
    """Labels to which each label is connected in the graph, the most similar ones."""
    neighbour_weight: float = Field(0.2, ge=0, lt=1)
    """What a label takes from its neighbours in each layer; the rest is its own."""
    logit: LogitConfig = LogitConfig()


@register(ScpNetConfig)
class SCPNet(PromptedRegions):
    """Text features T + G(T), G a graph convolution of three layers over labels that CLIP's text tower finds similar.

    Exchanged: `context` (n, Dt), `weights` of the layers, (D, 2 D), (2 D, 2 D) and (2 D, D), and the logit's scale and
    bias.
    """

    def __init__(self, context: MethodContext) -> None:
        self.settings: ScpNetConfig = context.settings
        words = context.clip.embed(context.clip.token_ids(WORDS))
        super().__init__(context, [len(words)])
        self.context = start_from(words)
        widths = (self.clip.dim, 2 * self.clip.dim, 2 * self.clip.dim, self.clip.dim)
        self.weights = nn.ParameterList(
            (2 * torch.rand(first, second, generator=context.generator) - 1) / second**0.5
            for first, second in pairwise(widths)
        )
        self.head = RegionHead(RegionConfig(logit=self.settings.logit))
        frozen = self.frozen_text(f"{WORDS} {{}}.")
        similarity = frozen @ frozen.T
        self.graph = self._graph(similarity)
        # Labels that training must not see are nobody's neighbours in training.
        self.training_graph = self.graph
        if self.seen is not None:
            among = self._graph(similarity.index_select(0, self.seen).index_select(1, self.seen))
            index = (self.seen[:, None], self.seen[None])
            self.training_graph = torch.eye(len(self.names), device=among.device).index_put(index, among)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """The learning rate, and what a label takes from its neighbours."""
        return {
            **super().search_space(settings),
            "method.neighbour_weight": Range(0.05, 0.5),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        (features,) = self.encode_contexts([self.context])
        graph = self.training_graph if self.training else self.graph
        passed = features
        for index, weights in enumerate(self.weights):
            passed = graph @ ((F.leaky_relu(passed, LEAK) if index else passed) @ weights)
        return features + passed

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        logits: Tensor = self.head(batch.dense(), text)
        return logits

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches."""
        return self.head.evidence(batch.dense(), text, slice(1, None))

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        return self.description("scpnet", len(self.context))

    def _graph(self, similarity: Tensor) -> Tensor:
        """(C, C), whose rows sum to 1: each label's own share, and those of its most similar labels by similarity."""
        count = len(similarity)
        itself = torch.eye(count, device=similarity.device)
        if count == 1:
            return itself
        ranked, order = (similarity - 4 * itself).topk(min(self.settings.neighbours, count - 1), dim=-1)
        # Cosines of texts are positive in practice; those that are not count as no similarity.
        kept = torch.zeros_like(similarity).scatter(-1, order, ranked.clamp_min(1e-6))
        share = self.settings.neighbour_weight
        return share * kept / kept.sum(-1, keepdim=True) + (1 - share) * itself
