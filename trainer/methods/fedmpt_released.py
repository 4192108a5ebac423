"""FedMPT as its published program computes it, bugs included (BASELINES.md §1), for comparison with the paper's method.

It has no adapters, transport or learned gate. The image cross-attends to all condition prompts, the result becomes a
visual prompt of the image tower, label scores are softmax-pooled over all tokens, and conditions are weighted by the
standard deviation of their scores.

Shape letters: B images, L tokens of the image tower (class, prompt, patches), N conditions, C labels, D joint width.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from trainer.backbone.text import PrefixEncoder, label_suffixes
from trainer.config.settings import MethodSettings
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.heads.image_prompt import encode_with_image_prompt, image_prompt_layers
from trainer.heads.regions import RELEASED_LOGIT, TokenNorm, pool_regions
from trainer.methods.base import Method, MethodContext, normal
from trainer.methods.registry import register

PLACEHOLDER = "X"
"""The program's placeholder for learnable tokens; one of them can remain in the prompt."""


class _Pooled(NamedTuple):
    weights: Tensor
    """(B, N, C, L), sums to 1 over tokens."""
    scores: Tensor
    """o: (B, N, C)."""
    gate: Tensor
    """(B, N), sums to 1."""
    shares: Tensor
    """(B, N, C), sums to the logit over the conditions."""


class FedMptReleasedConfig(MethodSettings):
    """FedMPT as published in code, which differs from the paper's method (BASELINES.md §1)."""

    name: Literal["fedmpt-released"] = "fedmpt-released"
    conditions: tuple[str, ...] = ("color", "background", "scene type", "spatial layout", "pose")
    """Fixed condition texts; no bank is used."""
    condition_tokens: int = Field(4, ge=1)
    """Learnable tokens before the condition's words, shared by all conditions."""
    class_tokens: int = Field(4, ge=1)
    """Learnable tokens before the label, shared by all prompts."""
    latent: int = Field(64, ge=1)
    """Hidden width of the MLP that makes the visual prompt."""
    heads: int = Field(8, ge=1)
    """Heads of the cross-attention from the image to all prompts."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the cross-attention weights."""
    temperature: float = Field(1.0, gt=0)
    """Of the softmax pooling and of the gate."""
    condition_words: Literal["first", "all"] = "first"
    """"first", as published: only the first token of a condition is kept, and learnable tokens overwrite the others;
    "all" keeps them all."""
    norm: TokenNorm = "tokens"
    """"tokens", as published: image features are normalised over the tokens, so similarities are not cosines;
    "channels": over the channels, which gives cosines."""


@register(FedMptReleasedConfig)
class FedMPTReleased(Method):
    """The released FedMPT.

    Exchanged: `condition_tokens` (a, Dt), `class_tokens` (n, Dt), the cross-attention, and the two-layer MLP that maps
    its output to a visual prompt (Dv).
    """

    reads = "tokens@0"
    """The visual prompt is added after ln_pre, so the input of block 0 and the image feature are frozen."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        s: FedMptReleasedConfig = context.settings
        self.settings = s
        clip, generator = self.clip, context.generator
        self.condition_tokens = normal((s.condition_tokens, clip.text_width), generator)
        self.class_tokens = normal((s.class_tokens, clip.text_width), generator)
        self.attention, self.visual_prompt = image_prompt_layers(clip, s.heads, s.latent, s.dropout, generator)
        self.frozen = [self._frozen(clip.token_ids(text)) for text in s.conditions]
        suffixes = label_suffixes(clip, [f"{name.replace('_', ' ')}." for name in context.label_names])
        learned = s.condition_tokens + s.class_tokens
        lengths = [learned + sum(len(part) for part in parts) for parts in self.frozen]
        self.encode = PrefixEncoder(clip, lengths, suffixes, context.text_chunk)

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """A lower learning rate than others, and the temperature of pooling and gate."""
        return {
            **super().search_space(settings),
            LEARNING_RATE: logarithmic(1e-4, 1e-2),
            "method.temperature": logarithmic(0.1, 3.0),
        }

    def text_features(self) -> Tensor:
        """T: (N, C, D), not normalised."""
        return self.encode(self._prefixes())

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C), summed over conditions."""
        return self.pooled(batch, text).shares.sum(1)

    def pooled(self, batch: Batch, text: Tensor) -> _Pooled:
        """Softmax pooling over all tokens; scores standardised over labels, conditions weighted by their spread."""
        tokens = encode_with_image_prompt(self.clip, batch, text.flatten(0, 1), self.attention, self.visual_prompt)
        weights, scores = pool_regions(tokens, text, self.settings.norm, self.settings.temperature)
        scores = RELEASED_LOGIT.scale * scores
        mean, spread = scores.mean(-1, keepdim=True), scores.std(-1, keepdim=True)
        gate = (spread / self.settings.temperature).softmax(1)
        # As published: a mean over conditions in addition to the softmax gate.
        shares = gate * (scores - mean) / (spread + 1e-5) / len(text)
        return _Pooled(weights, scores, gate[..., 0], shares)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches, averaged over conditions by gate weight."""
        found = self.pooled(batch, text)
        places = torch.einsum("bn,bncm->bmc", found.gate, found.weights[..., 2:])
        return Evidence(
            places=places / places.sum(1, keepdim=True),
            places_are="weights of softmax pooling, without those of the class token and the visual prompt",
            gate=found.gate,
            shares=found.shares,
            scores=found.scores,
        )

    def describe(self) -> dict[str, Any]:
        """Title, conditions, one prompt of each, and the number of trained parameters."""
        own = " ".join(f"[u{i + 1}]" for i in range(self.settings.condition_tokens))
        shared = " ".join(f"[w{i + 1}]" for i in range(self.settings.class_tokens))
        return {
            "title": "fedmpt, as released",
            "trainable": self.trainable(),
            "conditions": list(self.settings.conditions),
            "conditions_are": "fixed",
            "prompts": [f"{own} {text} {shared} {self.label_names[0]}." for text in self.settings.conditions],
        }

    def _prefixes(self) -> list[Tensor]:
        """For each condition: [SOS], learnable condition tokens, the condition's words, learnable class tokens."""
        first, second = self.condition_tokens, self.class_tokens
        return [torch.cat([start, first, kept, second, left]) for start, kept, left in self.frozen]

    def _frozen(self, ids: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of [SOS], of the kept condition words, and of the leftover tokens after the class tokens.

        As published, there is one position for the condition's words. The class tokens start right after it and
        overwrite part of the text "X X X X spatial layout X X X X"; the rest of it is left over.
        """
        clip, first, second = self.clip, self.settings.condition_tokens, self.settings.class_tokens
        kept, left = ids, []
        if self.settings.condition_words == "first":
            placeholder = clip.token_ids(PLACEHOLDER)
            written = placeholder * first + ids + placeholder * second
            kept, left = ids[:1], written[first + 1 + second :]
        return clip.embed([clip.tokenizer.sot_token_id]), clip.embed(kept), clip.embed(left)
