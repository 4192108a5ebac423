"""The mean of norm-bounded updates, which limits the influence of each client.

Sun et al., "Can you really backdoor federated learning?", 2019: norm thresholding of updates.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from trainer.config.sections import FederationConfig
from trainer.federation.aggregation.coordinates import coordinate_wise, median_of
from trainer.federation.aggregation.mean import weight, weighted_mean
from trainer.federation.aggregation.registry import register
from trainer.federation.replies import Reply, State, norm, update


@register("norm-bounded-mean", weighted=True, holds_all=lambda settings: settings.norm_bound is None)
def norm_bounded_mean(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The server's state plus the mean of the clients' updates, each scaled down to the bound if its norm exceeds it.

    An update is the reply minus the server's state; its norm is the Euclidean norm over all floating-point values.
    The default bound is the median norm of the round. Integers (batch counters) are not part of the norm, and are
    aggregated by the median.

    Raises:
        RunFailed: see `weighted_mean`.
    """
    start = {name: value.double() for name, value in server.items() if value.is_floating_point()}
    bound = settings.norm_bound
    if bound is None:
        replies = list(replies)
        norms = [norm(update(reply.state, server)) for reply in replies]
        bound = float(median_of(torch.tensor(norms, dtype=torch.float64)))
    counters: list[State] = []

    def bounded() -> Iterable[tuple[float, State]]:
        for reply in replies:
            counters.append({name: value for name, value in reply.state.items() if name not in start})
            sent = update(reply.state, server)
            length = norm(sent)
            factor = 1.0 if length <= bound else bound / length
            yield weight(reply, settings), {name: factor * value for name, value in sent.items()}

    mean_update = weighted_mean(bounded())
    floats = {name: value + mean_update[name] for name, value in start.items()}
    return {**floats, **coordinate_wise(counters, median_of)}
