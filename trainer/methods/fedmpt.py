"""FedMPT (Wang et al., CVPR 2026; METHOD.md §2-5).

Shape letters: B images, M patches, N conditions, C labels, D joint width, Dt text width, Ds adapter rank.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainer.backbone.text import PrefixEncoder
from trainer.config.settings import MethodSettings
from trainer.config.space import Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.errors import TrainerError
from trainer.heads.context import ContextConfig
from trainer.heads.evidence import WHOLE_IMAGE, Evidence
from trainer.heads.logit import Logit, LogitConfig
from trainer.heads.matching import Match, MatchingConfig, match
from trainer.methods.base import Method, MethodContext, normal
from trainer.methods.condition_prompts import ConditionPrompts
from trainer.methods.registry import register

SMALLEST_SQUARE = 1e-12
"""Lower bound of a patch's squared norm."""

NO_VALUES = (
    "method.background=values needs conditions with values, and the bank has none: write some (fedmpt bank edit), "
    "or take background=learned"
)

PLACES_ARE = {
    "transport": "plan from patches to labels, over the conditions by their gate weights",
    "shares": "weights of pooling what each patch gives to the label, over the conditions by their gate weights",
    "softmax": "weights of softmax pooling, over the conditions by their gate weights",
    "image": WHOLE_IMAGE,
}
"""`Evidence.places_are`, by matching."""

TITLES = {"transport": "transport", "shares": "shares", "softmax": "softmax pooling", "image": "image feature"}
"""The method's title in tables, by matching."""

SCALE: dict[str, Dimension] = {"method.softmax_scale": logarithmic(10.0, 40.0)}

SPACES: dict[str, dict[str, Dimension]] = {
    "image": {},
    "softmax": SCALE,
    "shares": {**SCALE, "method.share_temperature": logarithmic(1.0, 5.0)},
    "transport": {"method.entropy": logarithmic(0.02, 0.2), "method.temperature": logarithmic(0.03, 1.0)},
}
"""What tuning varies besides the learning rate, by matching."""


class FedMptConfig(MethodSettings, MatchingConfig, ContextConfig):
    """FedMPT. The numbers of learnable tokens are in the bank, together with the prompt template."""

    name: Literal["fedmpt"] = "fedmpt"
    context: Literal["auto", "none", "bank", "shuffled", "sites", "oracle"] = "auto"
    """As for other methods, but used by default: the paper's method ends with the prompts of conditions ("none")."""
    conditions: Literal["bank", "values", "empty", "irrelevant", "single"] = "bank"
    """The condition texts in the prompts: the bank's conditions, or one prompt for each of their values ("values"); or,
    as controls, none ("empty") or unrelated ones ("irrelevant"), for as many conditions as the bank has, or a single
    prompt without condition text ("single")."""
    prompts: bool = True
    """Off: no learnable tokens; a prompt is the condition's words and the label, encoded once."""
    adapters: bool = True
    """Off: CLIP's own patch features, the same for every condition."""
    rank: int = Field(32, ge=1)
    """D_s, the rank of the adapters and of the gate."""
    gate: bool = True
    """Off: every condition has weight 1/N."""
    background: Literal["none", "values", "learned"] = "none"
    """Additional columns of the shares for patches of no label: learnable vectors, initialised with the text features
    of the values of the bank's conditions ("values"), or at random ("learned")."""
    background_columns: int = Field(20, ge=1)
    """Number of columns with background = "learned"."""
    logit: LogitConfig = LogitConfig()
    """The affine map from scores to logits."""

    @model_validator(mode="after")
    def _background_is_used(self) -> Self:
        if self.background != "none" and self.matching != "shares":
            raise ValueError(f"background={self.background} is for matching=shares; transport has marginals=background")
        return self


@register(FedMptConfig)
class FedMPT(Method):
    """Condition prompts, an adapter per condition, transport from patches to labels, a gate over conditions.

    Exchanged: `condition_tokens` u (N, β1, Dt), `class_tokens` w (β2, Dt), the adapters' down (N, Ds, D) and
    up (N, D, Ds), the gate's two factors, and (α, β0); without what the settings turn off. With
    a background, its columns `background` (K, D) too.

    Raises:
        TrainerError: without a bank, or with one whose labels are not the data's, whose prompts are too long, or that
            lacks the values for a background.
    """

    def __init__(self, context: MethodContext) -> None:
        super().__init__(context)
        self.settings: FedMptConfig = context.settings
        self.prompts = ConditionPrompts.build(self.clip, context.label_names, context.bank, self.settings.conditions)
        n, d, rank = len(self.prompts.conditions), self.clip.dim, self.settings.rank
        generator = context.generator
        width = self.clip.text_width
        if not self.settings.prompts:
            self.prompts = replace(self.prompts, condition_tokens=0, class_tokens=0)
        else:
            self.condition_tokens = normal((n, self.prompts.condition_tokens, width), generator)
            self.class_tokens = normal((self.prompts.class_tokens, width), generator)
        self.encode = PrefixEncoder(self.clip, self.prompts.lengths(), self.prompts.suffixes, context.text_chunk)
        self._constant_text: Tensor | None = None
        if self.settings.adapters:
            self.adapter_down = nn.Parameter(torch.randn(n, rank, d, generator=generator) / d**0.5)
            self.adapter_up = nn.Parameter(torch.zeros(n, d, rank))
        if self.settings.gate:
            self.gate_down = nn.Parameter(torch.randn(rank, d, generator=generator) / d**0.5)
            self.gate_up = nn.Parameter(torch.zeros(n, rank))
        self.logit = Logit(self.settings.logit)
        if self.settings.background == "learned":
            self.background = normal((self.settings.background_columns, d), generator)
        elif self.settings.background == "values":
            if not self.prompts.background:
                raise TrainerError(NO_VALUES)
            words = [f"a photo of a {value}." for value in self.prompts.background]
            self.background = nn.Parameter(F.normalize(self.clip.encode_texts(words), dim=-1))

    @classmethod
    def search_space(cls, settings: FedMptConfig) -> dict[str, Dimension]:
        """The learning rate, and the numbers of the matching."""
        return {**super().search_space(settings), **SPACES[settings.matching]}

    def text_features(self) -> Tensor:
        """T: (N, C, D), normalised. Each condition's prefix runs once, shared by its C labels."""
        if self.settings.prompts:
            return F.normalize(self.encode(self.prompts.prefixes(self.condition_tokens, self.class_tokens)), dim=-1)
        if self._constant_text is None:
            self._constant_text = self._frozen_text()
        return self._constant_text

    @torch.no_grad()
    def _frozen_text(self) -> Tensor:
        nothing = self.prompts.before[:0]
        prefixes = self.prompts.prefixes(nothing.expand(len(self.prompts.words), 0, -1), nothing)
        return F.normalize(self.encode(prefixes), dim=-1)

    def similarities(self, patches: Tensor, text: Tensor) -> Tensor:
        """s: cosines (B, N, M, C) of the adapted patches V_n = V + W_up W_down V with the text features T.

        V_n, N times as large as V, is never materialised, since the maps are linear: with h = W_down V,
        ⟨V_n, T⟩ = ⟨V, T⟩ + ⟨h, W_upᵀ T⟩ and ‖V_n‖² = ‖V‖² + ⟨h, 2 W_upᵀ V + W_upᵀ W_up h⟩.
        """
        if not self.settings.adapters:
            return F.normalize(patches, dim=-1)[:, None] @ text.mT
        up = self.adapter_up
        low = torch.einsum("bmd,nrd->bnmr", patches, self.adapter_down)
        products = torch.einsum("bmd,ncd->bnmc", patches, text) + low @ (up.mT @ text.mT)
        across = torch.einsum("bmd,ndr->bnmr", patches, up)
        squares = patches.square().sum(-1)[:, None, :, None]
        squares = squares + (low * (2 * across + low @ (up.mT @ up))).sum(-1, keepdim=True)
        return products * squares.clamp_min(SMALLEST_SQUARE).rsqrt()

    def gate(self, image: Tensor) -> Tensor:
        """g = softmax(Ω(v)): weights of the conditions, (B, D) to (B, N). Uniform where the gate is off."""
        if not self.settings.gate:
            n = len(self.prompts.conditions)
            return image.new_full((image.shape[0], n), 1 / n)
        v = F.normalize(image, dim=-1)
        return ((v @ self.gate_down.T) @ self.gate_up.T).softmax(-1)

    def explain(self, batch: Batch, text: Tensor) -> tuple[Match, Tensor]:
        """The match of patches to labels, (B, N, M, C) and (B, N, C), and the gate's weights (B, N).

        M is 1 where the image feature is matched.
        """
        patches = batch.image[:, None] if self.settings.matching == "image" else batch.patches
        count = 0
        if self.settings.background != "none":
            count = len(self.background)
            columns = F.normalize(self.background, dim=-1).expand(len(text), -1, -1)
            text = torch.cat([text, columns], dim=1)
        found = match(self.similarities(patches, text), self.clip.scale, self.settings, count)
        return found, self.gate(batch.image)

    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """ℓ = α (Σ_n g_n ψ_n - β0): (B, C)."""
        found, weights = self.explain(batch, text)
        return self.logit(torch.einsum("bn,bnc->bc", weights, found.scores))

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """Places over the conditions by gate weight; g_n α (ψ_{n,c} - β0) is what condition n adds to the logit."""
        found, weights = self.explain(batch, text)
        whole = self.settings.matching == "image"
        return Evidence(
            places=None if whole else torch.einsum("bn,bnmc->bmc", weights, found.weights),
            places_are=PLACES_ARE[self.settings.matching],
            gate=weights,
            shares=weights[..., None] * self.logit(found.scores),
            scores=found.scores,
        )

    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Marginal error (mean and largest), share of converged plans and mean iterations of the transport."""
        found = self.explain(batch, self.current_text())[0].transport
        if found is None:
            return {}
        return {
            "marginal_error": float(found.marginal_error.mean()),
            "largest_marginal_error": float(found.marginal_error.max()),
            "converged": float(found.converged.float().mean()),
            "iterations": float(found.iterations.float().mean()),
        }

    def describe(self) -> dict[str, Any]:
        """Title, conditions, one prompt of each, and the number of trained parameters."""
        return {
            "title": self.title(f"fedmpt, {TITLES[self.settings.matching]}"),
            "trainable": self.trainable(),
            "conditions": list(self.prompts.conditions),
            "conditions_are": self.prompts.origin,
            "prompts": self.prompts.examples(),
            "background": list(self.prompts.background) if self.settings.background == "values" else [],
        }
