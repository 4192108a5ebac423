"""From similarities of patches and labels to a score a label: condition-guided transport, or pooling (METHOD.md §3).

Shape letters: B images, N conditions, M patches, C labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from trainer.config.settings import Settings
from trainer.heads.transport import Transport, pot_sinkhorn, sinkhorn


class MatchingConfig(Settings):
    """How patches are matched to labels."""

    matching: Literal["transport", "shares", "softmax", "image"] = "shares"
    """"transport" in the paper. "shares": transport whose columns are free, on the cosines; each patch shares itself
    among the labels, and share times cosine is pooled. "softmax" pools each label over the patches on its own:
    transport whose rows are free. "image" matches nothing: the image feature stands for all patches, as in the
    ablation's rows without transport. "shares" was the best on the drawn world's validation images; what each is worth
    there stands in docs/findings.md."""
    softmax_scale: float = Field(20.0, gt=0)
    """Of pooling: weights are softmax over patches of this times what is pooled."""
    share_temperature: float = Field(3.0, gt=0)
    """Of the shares: softmax over labels of κ s divided by this, with κ = CLIP's exp(logit_scale)."""
    marginals: Literal["balanced", "relaxed-rows", "relaxed-columns", "background", "prior"] = "balanced"
    """"balanced" in the paper."""
    entropy: float = Field(0.2, gt=0)
    """λ; 0.2 in the paper."""
    temperature: float = Field(0.1, gt=0)
    """τ of the row marginal."""
    iterations: int = Field(20, ge=1)
    """Of the transport, at the most."""
    stop: Literal["never", "marginal", "published"] = "never"
    """"never" runs all iterations; "marginal" stops each image and condition at its own marginal error; "published"
    stops the batch as the published programs do."""
    tolerance: float = Field(1e-3, gt=0)
    """L1 marginal error (of a total mass of 1) at which a plan counts as converged, and at which `stop` stops."""
    solver: Literal["own", "pot"] = "own"
    """"pot" runs the batch solver of Python Optimal Transport (exact marginals only); slower, the same plan."""
    differentiate_plan: bool = True
    """True: the gradient runs through the iterations; False: it stops at the plan."""
    relaxation: float = Field(0.03, ge=0)
    """ρ of the relaxed marginals; towards 0 the marginal is free."""
    background_mass: float = Field(0.5, gt=0, lt=1)
    """Share of the patches' mass that the background column takes (`marginals = "background"`). It costs the same for
    every patch, and how much changes nothing: where its mass is fixed, so is what it must take."""
    prior_scale: float = Field(10.0, ge=0)
    """Columns are softmax of this times the best patch's cosine (`marginals = "prior"`); 0 is uniform."""

    @model_validator(mode="after")
    def _pot_can_do_it(self) -> Self:
        if self.solver == "pot" and (self.marginals.startswith("relaxed") or self.stop == "published"):
            raise ValueError("solver pot holds marginals exactly and has its own stop: use solver=own")
        return self


class Match(NamedTuple):
    """Where each label was found, and how well."""

    weights: Tensor
    """(B, N, M, C); over the patches of a label they sum to 1. The transport plan's columns, or pooling weights."""
    scores: Tensor
    """ψ: (B, N, C), mean similarity of a label under its weights."""
    transport: Transport | None
    """How the solver fared, (B, N) each; None where labels are pooled."""


def match(similarity: Tensor, scale: float, settings: MatchingConfig, background: int = 0) -> Match:
    """Match patches to labels, as `settings.matching` says.

    Of transport: ψ_{n,c} = Σ_m P_{m,c} s_{m,c} / Σ_m P_{m,c}. With the balanced plan Σ_m P_{m,c} = 1/C, so this is the
    paper's C · Σ_m P_{m,c} s_{m,c}.

    Args:
        similarity: s, (B, N, M, C + K), cosines; M = 1 where the image feature stands for all patches.
        scale: κ, CLIP's exp(logit_scale), inside the softmax of the cost or of the shares.
        settings: matching, marginals, λ, τ, ρ and so on.
        background: K, how many of the last columns are no labels; only shares have some.
    """
    if settings.matching == "shares":
        return _shares(similarity, similarity.shape[-1] - background, scale, settings)
    if settings.matching != "transport":
        return Match(*_pooled(similarity, settings.softmax_scale), None)
    with torch.set_grad_enabled(torch.is_grad_enabled() and settings.differentiate_plan):
        solved = transport(similarity, scale, settings)
    # The floor only matters where a relaxed column lost all of its mass.
    weights = solved.plan / solved.plan.sum(dim=-2, keepdim=True).clamp_min(1e-12)
    return Match(weights, (weights * similarity).sum(dim=-2), solved)


def _shares(similarity: Tensor, labels: int, scale: float, settings: MatchingConfig) -> Match:
    """Match by what each patch gives to each label: ψ_c pools p_{m,c} s_{m,c} over the patches.

    p_{m,·} = softmax(κ s_{m,·} / θ) over labels and background, θ = share_temperature. It is the entropic plan with
    cost 1 - s and λ = θ / κ whose rows are held and whose columns are free, divided by its rows: without the demand
    that every label gets the same mass, Sinkhorn's fixed point is reached in one step.
    """
    parts = (similarity * (scale / settings.share_temperature)).softmax(dim=-1)[..., :labels]
    return Match(*_pooled(parts * similarity[..., :labels], settings.softmax_scale), None)


def _pooled(values: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Weights over the patches, softmax of scale times the values, and the values' mean under them."""
    weights = (scale * values).softmax(dim=-2)
    return weights, (weights * values).sum(dim=-2)


def transport(similarity: Tensor, scale: float, settings: MatchingConfig) -> Transport:
    """P: (B, N, M, C), the entropic plan between patches and labels under the chosen marginals.

    In fp32, whatever the precision of the similarities.

    Cost 1 - softmax_c(κ s); rows softmax_m(max_c s / τ), without a gradient; columns uniform, unless the marginals
    are "prior" (softmax of the best patches' cosines) or "background" (one more column, left out of the result).
    """
    similarity = similarity.float()
    cost = 1 - (scale * similarity).softmax(dim=-1)
    detached = similarity.detach()
    rows = (detached.amax(dim=-1) / settings.temperature).softmax(dim=-1)
    count = similarity.shape[-1]
    columns = torch.full_like(similarity[..., 0, :], 1 / count)
    kind = settings.marginals
    if kind == "prior":
        columns = (settings.prior_scale * detached.amax(dim=-2)).softmax(dim=-1)
    elif kind == "background":
        cost = torch.cat([cost, torch.zeros_like(cost[..., :1])], dim=-1)
        mass = torch.full_like(columns[..., :1], settings.background_mass)
        columns = torch.cat([columns * (1 - settings.background_mass), mass], dim=-1)
    if settings.solver == "pot":
        tolerance = settings.tolerance if settings.stop == "marginal" else None
        solved = pot_sinkhorn(
            cost, rows, columns, settings.entropy, iterations=settings.iterations, tolerance=tolerance
        )
    else:
        solved = sinkhorn(
            cost,
            rows,
            columns,
            settings.entropy,
            iterations=settings.iterations,
            stop=settings.stop,
            tolerance=settings.tolerance,
            row_relaxation=settings.relaxation if kind == "relaxed-rows" else None,
            column_relaxation=settings.relaxation if kind == "relaxed-columns" else None,
        )
    return replace(solved, plan=solved.plan[..., :count])
