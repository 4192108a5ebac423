"""Multi-Krum: the mean of the clients that agree most with each other.

Blanchard et al., "Machine learning with adversaries: Byzantine tolerant gradient descent", NeurIPS 2017.
Shape letters: K replies of a round, P floating-point values of a state.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from trainer.config.sections import FederationConfig
from trainer.federation.aggregation.client_vectors import flattened, float_names, median_counters
from trainer.federation.aggregation.coordinates import ROUNDING_SLACK
from trainer.federation.aggregation.mean import weighted_mean
from trainer.federation.aggregation.registry import register
from trainer.federation.replies import Reply, State


@register("multi-krum", weighted=False, holds_all=lambda settings: True)
def multi_krum(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
    """The mean of the K - f replies with the lowest scores, see `krum_scores`; f is `trimmed_share` · K, rounded up.

    With fewer than f + 3 replies no score says anything, and f is lowered to K - 3; up to three replies are averaged.
    Integers (batch counters) are aggregated by the median of all replies.
    """
    replies, floats = list(replies), float_names(server)
    bad = math.ceil(settings.trimmed_share * len(replies) - ROUNDING_SLACK)
    bad = max(0, min(bad, len(replies) - 3))
    kept = list(range(len(replies)))
    if bad and floats:
        before = flattened(server, floats)
        vectors = torch.stack([flattened(reply.state, floats) - before for reply in replies])
        kept = sorted(krum_scores(vectors, bad).argsort(stable=True)[: len(replies) - bad].tolist())
    states = ({name: replies[index].state[name] for name in floats} for index in kept)
    return {**weighted_mean((1.0, state) for state in states), **median_counters(replies, floats)}


def krum_scores(vectors: Tensor, bad: int) -> Tensor:
    """(K,) for each update the sum of its squared distances to the K - f - 2 others that are nearest to it.

    Args:
        vectors: (K, P) updates, float64.
        bad: f, the number of clients that may be bad; at most K - 3.
    """
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist").square()
    nearest = distances.sort(1).values[:, 1 : len(vectors) - bad - 1]  # without itself
    return nearest.sum(1)
