"""Clients' replies to the server, and what a reply must be like to be aggregated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fedmpt.common.words import printable
from trainer.errors import RunFailed

State = dict[str, Tensor]
"""A method's exchanged parameters and buffers by name."""

Signature = Mapping[str, tuple[torch.Size, torch.dtype]]
"""Shape and dtype of each tensor of a state by name."""

NAMED = 3
"""Tensors that a fault names at most."""
NAME_LENGTH = 60
"""Characters that are shown of a name that a client chose."""


@dataclass(frozen=True)
class Reply:
    """A client's reply after local training.

    Attributes:
        client: its id.
        state: its exchanged parameters and buffers.
        examples: the number of images it trained on.
        loss: mean loss per batch.
        round: the round that it says it trained in; None if the engine vouches for it.
        inputs: the hash of the bank, labels and weights that it says it has; None if the engine vouches for them.
    """

    client: int
    state: State
    examples: int
    loss: float
    round: int | None = None
    inputs: str | None = None


def checked_replies(replies: Iterable[Reply], server: State) -> Iterator[Reply]:
    """The replies in ascending order of client ids, lazily validated.

    Args:
        replies: a list in any order, or a stream in ascending order of ids.
        server: the state from which the clients started.

    Raises:
        RunFailed: no reply; unordered or repeated ids; a state that is not finite, or has other names, shapes or dtypes
            than the server's.
    """
    ordered = sorted(replies, key=lambda reply: reply.client) if isinstance(replies, list) else replies
    expected = signature(server)
    before: int | None = None
    for reply in ordered:
        if before is not None and reply.client <= before:
            raise RunFailed(f"client {reply.client} replied after client {before}: replies must be in order of ids")
        if fault := state_fault(reply.state, expected):
            raise RunFailed(f"client {reply.client} sent {fault}")
        before = reply.client
        yield reply
    if before is None:
        raise RunFailed("no client replied in this round")


def signature(state: State) -> Signature:
    """Shapes and dtypes of a state."""
    return {name: (value.shape, value.dtype) for name, value in state.items()}


def state_fault(state: State, expected: Signature) -> str | None:
    """What is wrong with a state that a client sent, to follow "it sent"; None if nothing is."""
    other = "other parameters than the server's: "
    if expected and not state:
        return "no parameters"
    if missing := expected.keys() - state.keys():
        return f"{other}{_named(missing)} missing"
    if extra := state.keys() - expected.keys():
        return f"{other}{_named(extra)} unknown"
    for name, (shape, dtype) in expected.items():
        value = state[name]
        if value.shape != shape:
            return f"{other}{name} of shape {list(value.shape)}, not {list(shape)}"
        if value.dtype != dtype:
            return f"{other}{name} as {_kind(value.dtype)}, not {_kind(dtype)}"
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    return f"a {_named(broken)} that is not finite" if broken else None


def update(state: State, server: State) -> State:
    """A state minus the server's, for floating-point tensors, in float64."""
    return {name: value.double() - server[name].double() for name, value in state.items() if value.is_floating_point()}


def norm(update: State) -> float:
    """The Euclidean norm over all values of all tensors (float64)."""
    return math.sqrt(sum(float(value.square().sum()) for value in update.values()))


def _named(names: Iterable[str]) -> str:
    shown = sorted(names)
    some = ", ".join(printable(name)[:NAME_LENGTH] or "an empty name" for name in shown[:NAMED])
    return some + (f" and {len(shown) - NAMED} more" if len(shown) > NAMED else "")


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
