"""How the server makes one state out of its clients'. Shape letter: K clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainer.errors import RunFailed

State = dict[str, Tensor]
"""A method's exchanged parameters by name."""


@dataclass(frozen=True)
class Reply:
    """What a client sends back after its local training.

    Attributes:
        client: its id.
        state: its parameters.
        examples: how many images it trained on.
        loss: mean loss per batch.
    """

    client: int
    state: State
    examples: int
    loss: float


def average(replies: Iterable[Reply], weights: Literal["uniform", "examples"]) -> State:
    """Federated averaging (McMahan et al., AISTATS 2017), in client-id order and float64.

    Args:
        replies: of K ≥ 1 clients. A list may be in any order; anything else is consumed as it comes, which must be in
            ascending order of ids, with no more than one client's state in memory.
        weights: "uniform", each client counts the same (the paper); "examples", by its number of images.

    Raises:
        RunFailed: no reply, no example, ids out of order, a state with other names or shapes, or one that is not
            finite.
    """
    ordered = sorted(replies, key=lambda reply: reply.client) if isinstance(replies, list) else replies
    sums: State = {}
    first: Reply | None = None
    before: int | None = None
    total = 0.0
    for reply in ordered:
        first = first or reply
        if before is not None and reply.client <= before:
            raise RunFailed(f"client {reply.client} replied after client {before}: replies must be in order of ids")
        _check(reply, first)
        share = 1.0 if weights == "uniform" else float(reply.examples)
        for name, value in reply.state.items():
            sums[name] = sums.get(name, 0.0) + share * value.double()
        total += share
        before = reply.client
    if first is None:
        raise RunFailed("no client replied in this round")
    if total <= 0:
        raise RunFailed("the clients of this round have no images, so they cannot be weighted by them")
    return {name: (value / total).to(first.state[name].dtype) for name, value in sums.items()}


def _check(reply: Reply, first: Reply) -> None:
    shapes = {name: value.shape for name, value in first.state.items()}
    if {name: value.shape for name, value in reply.state.items()} != shapes:
        raise RunFailed(f"client {reply.client} sent other parameters than client {first.client}")
    for name, value in reply.state.items():
        if not bool(torch.isfinite(value).all()):
            raise RunFailed(f"client {reply.client} sent a {name} that is not finite")
