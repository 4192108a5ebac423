"""Federated averaging."""

from __future__ import annotations

from collections.abc import Iterable

from trainer.config.sections import FederationConfig
from trainer.errors import RunFailed
from trainer.federation.aggregation.registry import register
from trainer.federation.replies import Reply, State


@register("mean", weighted=True)
def mean(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """Federated averaging (McMahan et al., AISTATS 2017).

    Raises:
        RunFailed: see `weighted_mean`.
    """
    return weighted_mean((weight(reply, settings), reply.state) for reply in replies)


def weight(reply: Reply, settings: FederationConfig) -> float:
    """A client's weight in the mean."""
    return 1.0 if settings.weights == "uniform" else float(reply.examples)


def weighted_mean(parts: Iterable[tuple[float, State]]) -> State:
    """Σ w s / Σ w in float64 over weights w and states s, holding one state at a time besides the sum.

    Raises:
        RunFailed: all weights are 0.
    """
    sums: State = {}
    total = 0.0
    for share, state in parts:
        for name, value in state.items():
            sums[name] = sums.get(name, 0.0) + share * value.double()
        total += share
    if total <= 0:
        raise RunFailed("the clients of this round have no images, so they cannot be weighted by them")
    return {name: value / total for name, value in sums.items()}
