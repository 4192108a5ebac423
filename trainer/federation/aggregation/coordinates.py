"""Rules that look at each number on its own: median and trimmed mean. Letter: K replies of a round.

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
"""Numbers that are sorted at once, so that sorting needs some 100 MB whatever the method's size."""

SLACK = 1e-9
"""What rounding may add to share times K before it counts as one more client."""


@register("median", weighted=False, holds_all=lambda settings: True)
def median(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """Of each number the middle one of the K, for even K the mean of the middle two (option I)."""
    return by_coordinate([reply.state for reply in replies], middle)


@register("trimmed-mean", weighted=False, holds_all=lambda settings: settings.trimmed_share > 0)
def trimmed_mean(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """Of each number the mean without its smallest and its largest values (option II).

    At either end the settings' share of the K is left out, rounded up, as long as one value is left in the middle.
    """
    if not settings.trimmed_share:
        return mean(replies, server, settings)
    states = [reply.state for reply in replies]
    cut = min(math.ceil(settings.trimmed_share * len(states) - SLACK), (len(states) - 1) // 2)
    return by_coordinate(states, lambda values: values.sort(0).values[cut : len(values) - cut].mean(0))


def middle(values: Tensor) -> Tensor:
    """The median over the first axis, (K, n) to (n,); for even K the mean of the middle two."""
    ordered = values.sort(0).values
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def by_coordinate(states: Sequence[State], function: Callable[[Tensor], Tensor]) -> State:
    """A function of the K values of each number.

    Args:
        states: K of them, with the same names and shapes.
        function: (K, n) float64 to (n,).

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
