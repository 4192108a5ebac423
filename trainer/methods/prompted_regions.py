"""The common part of methods with learnable tokens before each label whose scores are pooled over image tokens.

Shape letters: B images, N contexts, C labels, n tokens of a context, D joint width, Dt text width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.backbone.injections import Injection
from trainer.backbone.text import PrefixEncoder, label_suffixes
from trainer.methods.base import Method, MethodContext


class PromptedRegions(Method):
    """Prompts [SOS] v_1 … v_n ⟨label⟩ . [EOT] with N learnable contexts v.

    Args:
        context: see `Method`.
        lengths: of the N contexts.
        injections: see `PrefixEncoder`.
    """

    def __init__(self, context: MethodContext, lengths: Sequence[int], injections: Sequence[Injection] = ()) -> None:
        super().__init__(context)
        clip = self.clip
        # As in the published programs: a label's underscores are spaces.
        self.names = [name.replace("_", " ") for name in context.label_names]
        self.start = clip.embed([clip.tokenizer.sot_token_id])
        suffixes = label_suffixes(clip, [f"{name}." for name in self.names])
        self.encode = PrefixEncoder(clip, [1 + n for n in lengths], suffixes, context.text_chunk, injections)

    def encode_contexts(self, contexts: Sequence[Tensor], injected: Sequence[Tensor] = ()) -> Tensor:
        """Text features (N, C, D), not normalised, of N contexts (n, Dt)."""
        return self.encode([torch.cat([self.start, one]) for one in contexts], injected)

    def frozen_text(self, template: str) -> Tensor:
        """CLIP's own text features (C, D) of a sentence with {} in the label's place; normalised."""
        return F.normalize(self.clip.encode_texts([template.replace("{}", name) for name in self.names]), dim=-1)

    def select_seen(self, frozen: Tensor) -> Tensor:
        """The rows (axis -2) of the labels in training, as of the text features that `extra_loss` gets."""
        return frozen if self.seen is None else frozen.index_select(-2, self.seen)

    def description(self, title: str, tokens: int) -> dict[str, Any]:
        """What `describe` returns, for contexts of so many tokens."""
        words = " ".join(f"[v{i + 1}]" for i in range(tokens))
        prompts = [f"{words} {name}." for name in self.names]
        return {"title": title, "trainable": self.trainable(), "prompts": prompts}
