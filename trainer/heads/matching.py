"""Label scores from patch-label similarities, by condition-guided transport or by pooling (METHOD.md §3).

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
    """"transport": as in the paper. "shares": each patch is divided among the labels by a softmax, and the product of
    share and cosine is pooled over patches; this is transport on cosines with free columns. "softmax": each label
    pools the patches independently; this is transport with free rows. "image": no matching; the image feature replaces
    the patches, as in the ablation's rows without transport. "shares" was best on the drawn world's validation images
    (docs/findings.md)."""
    softmax_scale: float = Field(20.0, gt=0)
    """Scale of softmax pooling: pooling weights are softmax over patches of this times the pooled values."""
    share_temperature: float = Field(3.0, gt=0)
    """θ of the shares: softmax over labels of κ s / θ, with κ = CLIP's exp(logit_scale)."""
    marginals: Literal["balanced", "relaxed-rows", "relaxed-columns", "background", "prior"] = "balanced"
    """Marginals of the transport; "balanced" (all labels get the same mass) in the paper."""
    entropy: float = Field(0.2, gt=0)
    """λ, weight of the entropy in transport; 0.2 in the paper."""
    temperature: float = Field(0.1, gt=0)
    """τ, temperature of the row marginal."""
    iterations: int = Field(20, ge=1)
    """Maximum number of Sinkhorn iterations."""
    stop: Literal["never", "marginal", "published"] = "never"
    """Stopping rule. "never": run all iterations. "marginal": each image and condition stops at its own marginal error.
    "published": the batch stops by the rule of the published programs."""
    tolerance: float = Field(1e-3, gt=0)
    """L1 marginal error (of a total mass of 1) at which a plan counts as converged and iteration may stop."""
    solver: Literal["own", "pot"] = "own"
    """"pot": the batch solver of Python Optimal Transport (exact marginals only); slower, with the same plan."""
    differentiate_plan: bool = True
    """True: backpropagate through the iterations; False: treat the plan as a constant."""
    relaxation: float = Field(0.03, ge=0)
    """ρ of the relaxed marginals; as ρ goes to 0, the marginal becomes free."""
    background_mass: float = Field(0.5, gt=0, lt=1)
    """Fraction of the mass in the background column (`marginals = "background"`). The column has the same cost for all
    patches; since its mass is fixed, the value of that cost does not matter."""
    prior_scale: float = Field(10.0, ge=0)
    """The column marginal is softmax of this times each label's best patch cosine (`marginals = "prior"`); 0 gives the
    uniform marginal."""

    @model_validator(mode="after")
    def _pot_can_do_it(self) -> Self:
        if self.solver == "pot" and (self.marginals.startswith("relaxed") or self.stop == "published"):
            raise ValueError("solver pot holds marginals exactly and has its own stop: use solver=own")
        return self


class Match(NamedTuple):
    """The patch weights and the score of each label."""

    weights: Tensor
    """(B, N, M, C), sums to 1 over patches: normalised columns of the transport plan, or pooling weights."""
    scores: Tensor
    """ψ: (B, N, C), weighted mean similarity of a label."""
    transport: Transport | None
    """The solver's result for each (image, condition), (B, N); None if labels are pooled."""


def match(similarity: Tensor, scale: float, settings: MatchingConfig, background: int = 0) -> Match:
    """Match patches to labels by `settings.matching`.

    With transport, ψ_{n,c} = Σ_m P_{m,c} s_{m,c} / Σ_m P_{m,c}. For the balanced plan Σ_m P_{m,c} = 1/C, so this is
    the paper's C · Σ_m P_{m,c} s_{m,c}.

    Args:
        similarity: s, (B, N, M, C + K), cosines; M = 1 if the image feature replaces the patches.
        scale: κ, CLIP's exp(logit_scale), used in the softmax of the cost or of the shares.
        settings: matching, marginals, λ, τ, ρ and so on.
        background: K, the number of background columns (the last ones); 0 unless matching is "shares".
    """
    if settings.matching == "shares":
        return _shares(similarity, similarity.shape[-1] - background, scale, settings)
    if settings.matching != "transport":
        return Match(*_pooled(similarity, settings.softmax_scale), None)
    with torch.set_grad_enabled(torch.is_grad_enabled() and settings.differentiate_plan):
        solved = transport(similarity, scale, settings)
    # The lower bound has an effect only if a relaxed column has lost all its mass.
    weights = solved.plan / solved.plan.sum(dim=-2, keepdim=True).clamp_min(1e-12)
    return Match(weights, (weights * similarity).sum(dim=-2), solved)


def _shares(similarity: Tensor, labels: int, scale: float, settings: MatchingConfig) -> Match:
    """Match by dividing each patch among the labels: ψ_c pools p_{m,c} s_{m,c} over patches.

    p_{m,·} = softmax(κ s_{m,·} / θ) over labels and background, θ = share_temperature. This is the row-normalised
    entropic plan with cost 1 - s, λ = θ / κ, fixed rows and free columns: without the constraint that every label gets
    the same mass, Sinkhorn converges in one step.
    """
    parts = (similarity * (scale / settings.share_temperature)).softmax(dim=-1)[..., :labels]
    return Match(*_pooled(parts * similarity[..., :labels], settings.softmax_scale), None)


def _pooled(values: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Softmax pooling over patches: weights softmax(scale · values), and the weighted mean of the values."""
    weights = (scale * values).softmax(dim=-2)
    return weights, (weights * values).sum(dim=-2)


def transport(
    similarity: Tensor,
    scale: float,
    settings: MatchingConfig,
    added_cost: Tensor | None = None,
    added_range: float = 0.0,
) -> Transport:
    """P: (B, N, M, C), the entropic plan between patches and labels under the chosen marginals.

    Computed in fp32 whatever the precision of the similarities.

    Cost 1 - softmax_c(κ s); row marginal softmax_m(max_c s / τ), detached; column marginal uniform, unless `marginals`
    is "prior" (softmax of the best patch cosines) or "background" (one more column, removed from the result).

    Args:
        similarity: s, (B, N, M, C).
        scale: κ.
        settings: marginals, λ, τ, ρ and so on.
        added_cost: (B, N, M, C); None for none.
        added_range: an upper bound of the added cost's largest difference.
    """
    similarity = similarity.float()
    cost = 1 - (scale * similarity).softmax(dim=-1)
    if added_cost is not None:
        cost = cost + added_cost
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
            cost_range=1 + added_range,
            row_relaxation=settings.relaxation if kind == "relaxed-rows" else None,
            column_relaxation=settings.relaxation if kind == "relaxed-columns" else None,
        )
    return replace(solved, plan=solved.plan[..., :count])
