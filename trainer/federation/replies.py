"""Clients' replies to the server, and their validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.errors import RunFailed

State = dict[str, Tensor]
"""A method's exchanged parameters and buffers by name."""


@dataclass(frozen=True)
class Reply:
    """A client's reply after local training.

    Attributes:
        client: its id.
        state: its exchanged parameters and buffers.
        examples: the number of images it trained on.
        loss: mean loss per batch.
    """

    client: int
    state: State
    examples: int
    loss: float


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
    expected = _signature(server)
    before: int | None = None
    for reply in ordered:
        if before is not None and reply.client <= before:
            raise RunFailed(f"client {reply.client} replied after client {before}: replies must be in order of ids")
        if _signature(reply.state) != expected:
            raise RunFailed(f"client {reply.client} sent other parameters than the server's")
        for name, value in reply.state.items():
            if not bool(torch.isfinite(value).all()):
                raise RunFailed(f"client {reply.client} sent a {name} that is not finite")
        before = reply.client
        yield reply
    if before is None:
        raise RunFailed("no client replied in this round")


def _signature(state: State) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in state.items()}
