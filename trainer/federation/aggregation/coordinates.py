"""Coordinate-wise aggregation: median and trimmed mean. Shape letter: K replies of a round.

Yin et al., "Byzantine-robust distributed learning: towards optimal statistical rates", ICML 2018, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from trainer.config.sections import FederationConfig
from trainer.federation.aggregation.mean import mean
from trainer.federation.aggregation.registry import register
from trainer.federation.replies import Reply, State

BLOCK = 2**22
"""Values sorted at once; limits the memory for sorting to some 100 MB."""

ROUNDING_SLACK = 1e-9
"""Subtracted before rounding up, so that floating-point error in share · K does not trim another client."""


@register("median", weighted=False, holds_all=lambda settings: True)
def median(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """Coordinate-wise median; for even K, the mean of the two middle values (option I)."""
    return coordinate_wise([reply.state for reply in replies], median_of)


@register("trimmed-mean", weighted=False, holds_all=lambda settings: settings.trimmed_share > 0)
def trimmed_mean(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """Coordinate-wise mean without the smallest and the largest values (option II).

    `trimmed_share` · K values, rounded up, are removed at either end, but at least one value is always left.
    """
    if not settings.trimmed_share:
        return mean(replies, server, settings)
    states = [reply.state for reply in replies]
    cut = min(math.ceil(settings.trimmed_share * len(states) - ROUNDING_SLACK), (len(states) - 1) // 2)
    return coordinate_wise(states, lambda values: values.sort(0).values[cut : len(values) - cut].mean(0))


def median_of(values: Tensor) -> Tensor:
    """The median over the first axis, (K, n) to (n,); for even K, the mean of the two middle values."""
    ordered = values.sort(0).values
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def coordinate_wise(states: Sequence[State], function: Callable[[Tensor], Tensor]) -> State:
    """Apply a function to the K values of each coordinate.

    Args:
        states: K states with the same names and shapes.
        function: maps (K, n) float64 to (n,).

    Returns:
        The state in float64.
    """
    step = max(1, BLOCK // len(states))
    merged: State = {}
    for name, example in states[0].items():
        rows = [state[name].flatten() for state in states]
        found = torch.empty(example.numel(), dtype=torch.float64)
        for start in range(0, example.numel(), step):
            block = torch.stack([row[start : start + step] for row in rows]).double()
            found[start : start + step] = function(block)
        merged[name] = found.view(example.shape)
    return merged
