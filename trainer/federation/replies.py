"""What clients send back, and which of it a server takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.errors import RunFailed

State = dict[str, Tensor]
"""What a method exchanges, by name: parameters, and buffers that travel with them."""


@dataclass(frozen=True)
class Reply:
    """What a client sends back after its local training.

    Attributes:
        client: its id.
        state: its parameters and exchanged buffers.
        examples: how many images it trained on.
        loss: mean loss per batch.
    """

    client: int
    state: State
    examples: int
    loss: float


def checked(replies: Iterable[Reply], server: State) -> Iterator[Reply]:
    """The replies in ascending order of client ids, each checked when its turn comes.

    Args:
        replies: a list may be in any order; anything else is consumed as it comes, which must be in ascending order.
        server: the state that the clients began from.

    Raises:
        RunFailed: no reply, ids out of order or twice, a state with other names, shapes or types than the server's, or
            one that is not finite.
    """
    ordered = sorted(replies, key=lambda reply: reply.client) if isinstance(replies, list) else replies
    expected = _described(server)
    before: int | None = None
    for reply in ordered:
        if before is not None and reply.client <= before:
            raise RunFailed(f"client {reply.client} replied after client {before}: replies must be in order of ids")
        if _described(reply.state) != expected:
            raise RunFailed(f"client {reply.client} sent other parameters than the server's")
        for name, value in reply.state.items():
            if not bool(torch.isfinite(value).all()):
                raise RunFailed(f"client {reply.client} sent a {name} that is not finite")
        before = reply.client
        yield reply
    if before is None:
        raise RunFailed("no client replied in this round")


def _described(state: State) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in state.items()}
