"""FedMPT as its published program computes it, faults included (BASELINES.md §1), to compare with the paper's method.

It has neither adapters nor transport nor a learned gate: an image attends to all condition prompts, what it finds
becomes one more token of the image tower, labels are pooled over all tokens by softmax, and the spread of a
condition's scores weighs it.

Shape letters: B images, L tokens of the image tower (class, prompt, patches), N conditions, C labels, D joint width.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.backbone.text import PrefixEncoder, label_suffixes
from trainer.backbone.vision import ExtraTokens, encode_dense
from trainer.config.settings import MethodSettings
from trainer.data.batches import Batch
from trainer.heads.evidence import Evidence
from trainer.methods.base import Method, MethodContext, normal
from trainer.methods.registry import register
from trainer.seeding import seeded

SIMILARITY, OUTPUT = 20.0, 5.0
"""Fixed factors of the similarities and of the pooled scores."""

PLACEHOLDER = "X"
"""The word that the program writes where learnable tokens go; one of them can stay in the prompt."""


class _Pooled(NamedTuple):
    weights: Tensor
    """(B, N, C, L), over the tokens they sum to 1."""
    scores: Tensor
    """o: (B, N, C)."""
    gate: Tensor
    """(B, N), sums to 1."""
    shares: Tensor
    """(B, N, C), sums to the logit over the conditions."""


class FedMptReleasedConfig(MethodSettings):
    """FedMPT as its published program computes it, which is another method than the paper's (BASELINES.md §1)."""

    name: Literal["fedmpt-released"] = "fedmpt-released"
    conditions: tuple[str, ...] = ("color", "background", "scene type", "spatial layout", "pose")
    """Fixed words; no bank."""
    condition_tokens: int = Field(4, ge=1)
    """Learnable tokens before the condition's words, shared by all conditions."""
    class_tokens: int = Field(4, ge=1)
    """Learnable tokens before the label, shared by all."""
    latent: int = Field(64, ge=1)
    """Width between the attention and the visual prompt."""
    heads: int = Field(8, ge=1)
    """Of the attention from an image to all prompts."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of the attention's weights, in training."""
    temperature: float = Field(1.0, gt=0)
    condition_words: Literal["first", "all"] = "first"
    """"first" as published: of a condition's tokens the first is kept, and the learnable ones overwrite the others;
    "all" keeps them."""
    norm: Literal["tokens", "channels"] = "tokens"
    """"tokens" as published: image features are divided by their norm over the tokens, so that a similarity is no
    cosine; "channels" makes it one."""


@register(FedMptReleasedConfig)
class FedMPTReleased(Method):
    """The released FedMPT.

    Exchanged: `condition_tokens` (a, Dt), `class_tokens` (n, Dt), the cross-attention and the two layers that make a
    visual prompt (Dv) of what it finds.
    """

    reads = "tokens@0"
    """The visual prompt comes in behind ln_pre: what enters block 0, and the image feature, are frozen."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        s: FedMptReleasedConfig = context.settings
        self.settings = s
        clip, generator = self.clip, context.generator
        self.condition_tokens = normal((s.condition_tokens, clip.text_width), generator)
        self.class_tokens = normal((s.class_tokens, clip.text_width), generator)
        # torch's modules draw their start from the global generator.
        with seeded(int(torch.randint(2**62, (), generator=generator)), torch.device("cpu")):
            self.attention = nn.MultiheadAttention(clip.dim, s.heads, dropout=s.dropout)
            self.visual_prompt = nn.Sequential(
                nn.Linear(clip.dim, s.latent), nn.ReLU(), nn.Linear(s.latent, clip.vision_width)
            )
        self.frozen = [self._frozen(clip.token_ids(text)) for text in s.conditions]
        suffixes = label_suffixes(clip, [f"{name.replace('_', ' ')}." for name in context.label_names])
        learned = s.condition_tokens + s.class_tokens
        lengths = [learned + sum(len(part) for part in parts) for parts in self.frozen]
        self.encode = PrefixEncoder(clip, lengths, suffixes, context.text_chunk)

    def text_features(self) -> Tensor:
        """T: (N, C, D), not normalised."""
        return self.encode(self._prefixes())

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C)"""
        return self.pooled(batch, text).shares.sum(1)

    def pooled(self, batch: Batch, text: Tensor) -> _Pooled:
        """Softmax pooling over all tokens, scores standardised over the labels, conditions weighed by their spread."""
        features = self._tokens(batch, text)
        # Published: the norm over the axis of the tokens, where that over the channels makes a cosine.
        features = F.normalize(features, dim=1 if self.settings.norm == "tokens" else -1)
        similarity = SIMILARITY * torch.einsum("bld,ncd->bncl", features, F.normalize(text, dim=-1))
        weights = (similarity / self.settings.temperature).softmax(-1)
        scores = OUTPUT * (weights * similarity).sum(-1)
        mean, spread = scores.mean(-1, keepdim=True), scores.std(-1, keepdim=True)
        gate = (spread / self.settings.temperature).softmax(1)
        # A softmax gate, and a mean over the conditions on top of it.
        shares = gate * (scores - mean) / (spread + 1e-5) / len(text)
        return _Pooled(weights, scores, gate[..., 0], shares)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Pooling weights of the patches alone, over the conditions by gate weight."""
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
        """[SOS], learnable condition tokens, a condition's words, learnable class tokens, for each condition."""
        first, second = self.condition_tokens, self.class_tokens
        return [torch.cat([start, first, kept, second, left]) for start, kept, left in self.frozen]

    def _frozen(self, ids: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """[SOS], what is kept of a condition's words, and what stays behind the class tokens, embedded.

        As published, one place is kept for the words: the class tokens begin right behind it, and what they leave of
        the written text "X X X X spatial layout X X X X" stays.
        """
        clip, first, second = self.clip, self.settings.condition_tokens, self.settings.class_tokens
        kept, left = ids, []
        if self.settings.condition_words == "first":
            placeholder = clip.token_ids(PLACEHOLDER)
            written = placeholder * first + ids + placeholder * second
            kept, left = ids[:1], written[first + 1 + second :]
        return clip.embed([clip.tokenizer.sot_token_id]), clip.embed(kept), clip.embed(left)

    def _tokens(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, L, D): the image tower's tokens, with a visual prompt made of what the image finds in all prompts."""
        if batch.tokens is None:
            raise ValueError("the released FedMPT reads what enters the image tower's first block: the batch has none")
        prompts = text.flatten(0, 1)
        # Without a batch axis: every image is one query over all N C prompts.
        found, _ = self.attention(batch.image, prompts, prompts, need_weights=False)
        extra = ExtraTokens(self.visual_prompt(found)[:, None], "after class")
        return encode_dense(self.clip, batch.tokens, extra)
