"""TCP (Yao et al., CVPR 2024) with federated averaging: tokens made from a label's name enter the text tower.

The published multi-label program scores labels by softmax pooling over image tokens (BASELINES.md §6).

Shape letters: B images, C labels, n context tokens, K class tokens, T positions, D joint width, Dt text width.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from open_clip.transformer import QuickGELU
from pydantic import Field
from torch import Tensor, nn

from trainer.backbone.block import attend, finish_block, project_qkv
from trainer.backbone.injections import Injection
from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.losses import inconsistency
from trainer.heads.regions import RegionConfig, RegionHead
from trainer.methods.base import MethodContext, normal, start_from
from trainer.methods.prompted_regions import PromptedRegions
from trainer.methods.registry import register
from trainer.seeding import seeded

CLASS_TOKENS = 4
"""K, tokens made from a label's name; they replace as many of the context."""

WORDS = "a photo of a"
"""The words from which a context of as many tokens starts."""

RELEASED_TOKENS = 16


class TcpConfig(MethodSettings, RegionConfig):
    """TCP (Yao et al., CVPR 2024)."""

    name: Literal["tcp"] = "tcp"
    context_tokens: int | None = Field(None, ge=CLASS_TOKENS)
    """n, learnable tokens before the label. None: 4, which start from "a photo of a"; in the released variant 16. Any
    number but 4 starts at random."""
    layer: int | None = Field(None, ge=0)
    """The layer of the text tower, from 0, before which the class tokens enter. None: two thirds up, 8 of 12."""
    bottleneck: int = Field(4, ge=1)
    """The hidden width of the network that makes class tokens is the joint width divided by this."""
    consistency: float = Field(8.0, ge=0)
    """Weight of the term that keeps text features near CLIP's own. Unlike the asymmetric loss, it has no other."""


@register(TcpConfig)
class TCP(PromptedRegions):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT]; before a deep layer, v_1 … v_4 give way to tokens of the label's own.

    The released variant cuts names off: it lays the context over a shorter sentence, "a photo of a ⟨label⟩.", and reads
    the text feature where the sentence would have ended, inside the context.

    Exchanged: `context` (n, Dt), the network `class_network` that makes class tokens from CLIP's text features, and in
    the clean variant the logit's scale and bias.
    """

    def __init__(self, context: MethodContext) -> None:
        s: TcpConfig = context.settings
        self.settings = s
        clip, generator = context.clip, context.generator
        released = s.variant == "released"
        words = clip.embed(clip.token_ids(WORDS))
        tokens = s.context_tokens or (RELEASED_TOKENS if released else len(words))
        layers = len(clip.model.transformer.resblocks)
        self.layer = 2 * layers // 3 if s.layer is None else s.layer
        super().__init__(context, [tokens], [Injection(self.layer, 1, CLASS_TOKENS, per_label=True)])
        self.context = start_from(words) if tokens == len(words) else normal((tokens, clip.text_width), generator)
        # torch modules are initialised from the global generator.
        with seeded(int(torch.randint(2**62, (), generator=generator)), torch.device("cpu")):
            hidden = max(1, clip.dim // s.bottleneck)
            self.class_network = nn.Sequential(
                nn.Linear(clip.dim, hidden), QuickGELU(), nn.Linear(hidden, CLASS_TOKENS * clip.text_width)
            )
        self.frozen = self.frozen_text(f"{WORDS} {{}}.")
        self.head = RegionHead(s)
        self.cut = self._cut_sentences() if released else None

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """The learning rate, and how near the text features are kept to CLIP's."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-3, 1e-1),
            "method.consistency": logarithmic(0.1, 100.0),
        }

    def text_features(self) -> Tensor:
        """(C, D), not normalised."""
        own = self.class_network(self.frozen).unflatten(-1, (CLASS_TOKENS, -1))
        if self.cut is not None:
            return self._encode_cut(*self.cut, own)
        (features,) = self.encode_contexts([self.context], [own])
        return features

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), pooled over the class token and the patches."""
        logits: Tensor = self.head(batch.dense(), text)
        return logits

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor:
        """The distance of the text features from CLIP's own."""
        return self.settings.consistency * inconsistency(text, self.select_seen(self.frozen))

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches."""
        return self.head.evidence(batch.dense(), text, slice(1, None))

    def describe(self) -> dict[str, Any]:
        """Title, prompts and the number of trained parameters."""
        title = "tcp" if self.settings.variant == "clean" else "tcp, as released"
        return self.description(title, len(self.context))

    def _cut_sentences(self) -> tuple[Tensor, Tensor, int]:
        """What is left of the sentences when the context lies over them (C, …, Dt), their [EOT] (C,), and T."""
        clip, over = self.clip, 1 + len(self.context)
        rows = [[*clip.token_ids(f"{WORDS} {name}."), clip.tokenizer.eot_token_id] for name in self.names]
        ends = [len(row) for row in rows]
        left = torch.zeros(len(rows), max(0, max(ends) + 1 - over), clip.text_width, device=clip.device)
        for index, row in enumerate(rows):
            rest = row[over - 1 :]
            left[index, : len(rest)] = clip.embed(rest)
        return left, torch.tensor(ends, device=clip.device), max(ends) + 1

    def _encode_cut(self, left: Tensor, ends: Tensor, longest: int, own: Tensor) -> Tensor:
        """Text features (C, D) of contexts over sentences. Where nothing is left of any, labels share layers."""
        model, count = self.clip.model, len(ends)
        shared = torch.cat([self.start, self.context])[None, :longest]
        with self.clip.autocast():
            tokens = torch.cat([shared.expand(count, -1, -1), left], 1) if left.shape[1] else shared
            tokens = tokens + model.positional_embedding[: tokens.shape[1]]
            for number, block in enumerate(model.transformer.resblocks):
                if number == self.layer:
                    tokens = tokens.expand(count, -1, -1)
                    tokens = torch.cat([tokens[:, :1], own.to(tokens.dtype), tokens[:, 1 + CLASS_TOKENS :]], dim=1)
                tokens = finish_block(block, tokens, attend(*project_qkv(block, tokens), causal=True))
        at_end = tokens[torch.arange(count, device=ends.device), ends]
        features: Tensor = model.ln_final(at_end.to(model.text_projection.dtype)) @ model.text_projection
        return features
