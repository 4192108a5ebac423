"""From similarities of patches and labels to a score a label: condition-guided transport, or pooling (METHOD.md §3).

Shape letters: B images, N conditions, M patches, C labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.config import FedMptConfig
from trainer.transport import Transport, pot_sinkhorn, sinkhorn


class Match(NamedTuple):
    """Where each label was found, and how well."""

    weights: Tensor
    """(B, N, M, C); over the patches of a label they sum to 1. The transport plan's columns, or pooling weights."""
    scores: Tensor
    """ψ: (B, N, C), mean similarity of a label under its weights."""
    transport: Transport | None
    """How the solver fared, (B, N) each; None where labels are pooled."""


def match(similarity: Tensor, scale: float, settings: FedMptConfig, background: int = 0) -> Match:
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


def _shares(similarity: Tensor, labels: int, scale: float, settings: FedMptConfig) -> Match:
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


def transport(similarity: Tensor, scale: float, settings: FedMptConfig) -> Transport:
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
