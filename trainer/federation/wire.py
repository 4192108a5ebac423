"""What travels between server and clients: the exchanged state, in full or half the bits.

With `federation.wire=float32` a client is sent the server's state and replies with its own. With a shorter type it is
sent the state rounded to that type, and replies with what its training added to that, rounded; the server adds this to
its own state, which is never rounded itself. So an update is not lost because it is small beside its parameter.

Integers (batch counters) always travel as they are.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from trainer.errors import RunFailed
from trainer.federation.replies import Signature, State, signature

WireType = Literal["float32", "float16", "bfloat16"]
"""As in `FederationConfig.wire`."""

TYPES: dict[WireType, torch.dtype] = {"float16": torch.float16, "bfloat16": torch.bfloat16}
"""The types that are shorter than the state's own."""


def sent_to_client(server: State, wire: WireType) -> State:
    """The server's state as a client is sent it.

    Raises:
        RunFailed: a number is too large for the type.
    """
    sent = _short(server, wire)
    for name, value in sent.items():
        if wire in TYPES and not bool(torch.isfinite(value).all()):
            raise RunFailed(f"{name} has numbers too large for federation.wire={wire}; use bfloat16 or float32")
    return sent


def client_start(sent: State, own: State) -> State:
    """The state from which a client trains: what it was sent, in the dtypes of its own state."""
    return {name: value.to(own[name].dtype) for name, value in sent.items()}


def sent_to_server(trained: State, start: State, wire: WireType) -> State:
    """What a client replies.

    Args:
        trained: its state after training.
        start: the state from which it trained, see `client_start`.
        wire: the type.
    """
    if wire not in TYPES:
        return trained
    return _short({name: value - start[name] if _float(value) else value for name, value in trained.items()}, wire)


def counted_state(sent: State, server: State, wire: WireType) -> State:
    """A client's state as the server counts it, from what the client replied."""
    if wire not in TYPES:
        return sent
    return {
        name: server[name] + value.to(server[name].dtype) if _float(value) else value for name, value in sent.items()
    }


def wire_signature(server: State, wire: WireType) -> Signature:
    """Names, shapes and dtypes of what travels, in both directions."""
    return signature(_short(server, wire))


def wire_bytes(server: State, wire: WireType) -> int:
    """Bytes of the numbers that travel to a client in a round, and as many back."""
    return sum(value.nbytes for value in _short(server, wire).values())


def _short(state: State, wire: WireType) -> State:
    kind = TYPES.get(wire)
    return state if kind is None else {n: value.to(kind) if _float(value) else value for n, value in state.items()}


def _float(value: Tensor) -> bool:
    return value.is_floating_point()
