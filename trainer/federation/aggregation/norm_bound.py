"""The mean of updates whose length is bounded, so that no client counts for more than its share.

Sun et al., "Can you really backdoor federated learning?", 2019: norm thresholding of updates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from trainer.config.sections import FederationConfig
from trainer.federation.aggregation.coordinates import by_coordinate, middle
from trainer.federation.aggregation.mean import weight, weighted_mean
from trainer.federation.aggregation.registry import register
from trainer.federation.replies import Reply, State


@register("norm-bounded-mean", weighted=True, holds_all=lambda settings: settings.norm_bound is None)
def norm_bounded_mean(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The server's state plus the mean of the clients' updates, each shortened to the bound where it is longer.

    An update is the reply minus the server's state, its length the Euclidean norm over all floating-point numbers.
    Without a bound in the settings it is the median length of the round. Integers (counters of batches) have no part
    in lengths; of them the median is taken.

    Raises:
        RunFailed: see `weighted_mean`.
    """
    start = {name: value.double() for name, value in server.items() if value.is_floating_point()}
    bound = settings.norm_bound
    if bound is None:
        replies = list(replies)
        lengths = [_length(_update(reply, start)) for reply in replies]
        bound = float(middle(torch.tensor(lengths, dtype=torch.float64)))
    counters: list[State] = []

    def shortened() -> Iterable[tuple[float, State]]:
        for reply in replies:
            counters.append({name: value for name, value in reply.state.items() if name not in start})
            update = _update(reply, start)
            length = _length(update)
            factor = 1.0 if length <= bound else bound / length
            yield weight(reply, settings), {name: factor * value for name, value in update.items()}

    moved = weighted_mean(shortened())
    found = {name: value + moved[name] for name, value in start.items()}
    return {**found, **by_coordinate(counters, middle)}


def _update(reply: Reply, start: State) -> State:
    return {name: reply.state[name].double() - value for name, value in start.items()}


def _length(update: State) -> float:
    return math.sqrt(sum(float(value.square().sum()) for value in update.values()))
