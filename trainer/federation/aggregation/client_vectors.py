"""FedAWA: aggregation weights from the directions of the clients' updates, and the rule that is published as FedAWA.

Shape letters: K replies of a round, P floating-point values of a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config.sections import FederationConfig
from trainer.federation.aggregation.coordinates import coordinate_wise, median_of
from trainer.federation.aggregation.mean import weight, weighted_mean
from trainer.federation.aggregation.registry import register
from trainer.federation.replies import Reply, State

KEPT_SHARE = 0.7
"""Of the published rule: the clients with the lowest scores that are kept, rounded down."""

SMALLEST = 1e-24
"""Lower bound of squared norms."""


@register("fedawa", weighted=True, holds_all=lambda settings: True)
def fedawa(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The mean of the replies with weights that the server optimises (Shi et al., CVPR 2025).

    See `optimised_weights`. The optimisation starts from the weights that averaging would have. Integers (batch
    counters) have no direction, and are aggregated by the median.

    Raises:
        RunFailed: see `weighted_mean`.
    """
    replies = list(replies)
    start = torch.tensor([weight(reply, settings) for reply in replies], dtype=torch.float64)
    floats = float_names(server)
    weights = start
    if float(start.sum()) > 0:
        before = flattened(server, floats)
        vectors = torch.stack([flattened(reply.state, floats) - before for reply in replies])
        weights = optimised_weights(vectors, before, start / start.sum(), settings.awa_steps, settings.awa_rate)
    parts = ((float(w), {name: r.state[name] for name in floats}) for w, r in zip(weights, replies, strict=True))
    return {**weighted_mean(parts), **median_counters(replies, floats)}


def optimised_weights(vectors: Tensor, server: Tensor, start: Tensor, steps: int, rate: float) -> Tensor:
    """Weights λ (K,) that favour clients whose update points where the whole update does.

    Steps of Adam on the logits of λ that lower Σ_k λ_k ‖τ_k - τ‖ + 1 - cos(θ + τ, θ) with τ = Σ_k λ_k τ_k (Shi et al.,
    CVPR 2025). All products of vectors are computed once, so a step costs K² operations. The first term is 0 if a
    single client has all the weight, so the number of steps bounds how far the weights move.

    Args:
        vectors: (K, P) updates τ_k, float64.
        server: (P,) the server's state θ before the round.
        start: (K,) initial weights, which sum to 1.
        steps: of the optimiser.
        rate: its step size, the largest change of a logit in a step.
    """
    products, along = vectors @ vectors.T, vectors @ server
    square = server.dot(server)
    logits = start.log().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=rate)
    with torch.enable_grad():
        for _ in range(steps):
            weights = logits.softmax(0)
            length = weights @ products @ weights
            distances = (products.diagonal() - 2 * products @ weights + length).clamp_min(SMALLEST).sqrt()
            moved = (square + 2 * weights @ along + length).clamp_min(SMALLEST)
            cosine = (square + weights @ along) / (square.clamp_min(SMALLEST) * moved).sqrt()
            optimiser.zero_grad()
            (weights @ distances + 1 - cosine).backward()
            optimiser.step()
    return logits.detach().softmax(0)


@register("fedawa-released", weighted=False, holds_all=lambda settings: True)
def fedawa_released(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The mean without the 30 % of clients that are most like the mean, as published under FedAWA's name.

    The published program means to remove those that deviate most, but ranks them the wrong way round. A client's score
    is the mean cosine between its rows (vectors along the last axis) and those of the mean. A single client is kept.
    """
    replies, floats = list(replies), float_names(server)
    states = [{name: reply.state[name] for name in floats} for reply in replies]
    centre = weighted_mean((1.0, state) for state in states)
    scores = torch.tensor([_likeness(state, centre) for state in states])
    kept = scores.argsort(stable=True)[: max(1, int(KEPT_SHARE * len(states)))]
    merged = weighted_mean((1.0, states[index]) for index in sorted(kept.tolist()))
    return {**merged, **median_counters(replies, floats)}


def _likeness(state: State, centre: State) -> float:
    cosines = [F.cosine_similarity(_rows(state[name].double()), _rows(value), dim=-1) for name, value in centre.items()]
    return float(torch.cat(cosines).mean())


def float_names(state: State) -> list[str]:
    """The names of the floating-point values."""
    return [name for name, value in state.items() if value.is_floating_point()]


def median_counters(replies: Sequence[Reply], floats: Sequence[str]) -> State:
    """The median of the integers of all replies."""
    counters = [{name: value for name, value in reply.state.items() if name not in floats} for reply in replies]
    return coordinate_wise(counters, median_of)


def _rows(value: Tensor) -> Tensor:
    return value.reshape(-1, value.shape[-1] if value.dim() else 1)


def flattened(state: State, names: Sequence[str]) -> Tensor:
    """(P,) the values of these names, float64."""
    return torch.cat([state[name].double().flatten() for name in names])
