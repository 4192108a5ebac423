"""The way of a state from the server to a client and back: what of it travels, and in which form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from trainer.federation.client import ClientTrainer
from trainer.federation.replies import Reply, Signature, State
from trainer.federation.rounds import RoundContext
from trainer.federation.wire import (
    WireType,
    client_start,
    counted_state,
    sent_to_client,
    sent_to_server,
    wire_bytes,
    wire_signature,
)
from trainer.methods.federated import FederatedModule


@dataclass(frozen=True)
class Exchange:
    """What travels of a method's exchanged state.

    Attributes:
        own: a state of the method, for names, shapes and dtypes.
        fixed: the part that never changes, which everybody has and which does not travel.
        wire: the numbers' type on the way.
    """

    own: State
    fixed: Mapping[str, Tensor]
    wire: WireType

    @classmethod
    def of(cls, method: FederatedModule, wire: WireType) -> Exchange:
        """For a method."""
        return cls(method.exchanged(), method.fixed(), wire)

    @property
    def signature(self) -> Signature:
        """Names, shapes and dtypes of what travels, in both directions."""
        return wire_signature(self._moving(self.own), self.wire)

    @property
    def bytes(self) -> int:
        """Bytes of the numbers that travel to a client in a round, and as many back."""
        return wire_bytes(self._moving(self.own), self.wire)

    def to_client(self, server: State) -> State:
        """What a client is sent of the server's state.

        Raises:
            RunFailed: a number is too large for the type.
        """
        return sent_to_client(self._moving(server), self.wire)

    def received(self, sent: State) -> State:
        """The whole state of a client that was sent this."""
        return {**self.fixed, **client_start(sent, self.own)}

    def train(
        self, trainer: ClientTrainer, client: int, owned: np.ndarray, sent: State, context: RoundContext
    ) -> Reply:
        """A client's part of a round: its reply, with the state as it is sent to the server.

        Args:
            trainer: trains it.
            client: its id.
            owned: indices of its images.
            sent: what it was sent.
            context: the round.

        Raises:
            RunFailed, TrainerError: see `ClientTrainer.train`.
        """
        start = client_start(sent, self.own)
        reply = trainer.train(client, owned, self.received(sent), context)
        return replace(reply, state=sent_to_server(self._moving(reply.state), start, self.wire))

    def counted(self, reply: Reply, server: State) -> Reply:
        """A reply with the client's whole state, as the server counts it."""
        moved = counted_state(reply.state, self._moving(server), self.wire)
        return replace(reply, state={**server, **moved})

    def _moving(self, state: State) -> State:
        return {name: value for name, value in state.items() if name not in self.fixed}
