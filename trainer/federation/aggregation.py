"""How the server makes one state out of its clients'. Shape letter: K clients."""

from __future__ import annotations

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


def average(replies: list[Reply], weights: Literal["uniform", "examples"]) -> State:
    """Federated averaging (McMahan et al., AISTATS 2017), in client-id order and float64.

    Args:
        replies: of K ≥ 1 clients, in any order.
        weights: "uniform", each client counts the same (the paper); "examples", by its number of images.

    Raises:
        RunFailed: no reply, no example, a state with other names or shapes, or one that is not finite.
    """
    ordered = sorted(replies, key=lambda reply: reply.client)
    if not ordered:
        raise RunFailed("no client replied in this round")
    _check(ordered)
    shares = [1.0 if weights == "uniform" else float(reply.examples) for reply in ordered]
    total = sum(shares)
    if total <= 0:
        raise RunFailed("the clients of this round have no images, so they cannot be weighted by them")
    result: State = {}
    for name, first in ordered[0].state.items():
        mean = torch.zeros(first.shape, dtype=torch.float64)
        for share, reply in zip(shares, ordered, strict=True):
            mean += (share / total) * reply.state[name].double()
        result[name] = mean.to(first.dtype)
    return result


def _check(ordered: list[Reply]) -> None:
    reference = {name: value.shape for name, value in ordered[0].state.items()}
    for reply in ordered:
        if {name: value.shape for name, value in reply.state.items()} != reference:
            raise RunFailed(f"client {reply.client} sent other parameters than client {ordered[0].client}")
        for name, value in reply.state.items():
            if not bool(torch.isfinite(value).all()):
                raise RunFailed(f"client {reply.client} sent a {name} that is not finite")
