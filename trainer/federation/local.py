"""The engine that trains all clients sequentially in this process, sharing one backbone and one method instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from trainer.federation.client import ClientTrainer
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext
from trainer.federation.wire import client_start, counted_state, sent_to_client, sent_to_server


@dataclass(frozen=True)
class LocalEngine:
    """Clients as index lists into one training split.

    Attributes:
        trainer: trains a client.
        owned: for each client the indices of its images.
    """

    trainer: ClientTrainer
    owned: tuple[np.ndarray, ...]

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self.owned)

    def train_client(self, client: int, state: State, context: RoundContext) -> Reply:
        """See `ClientTrainer.train`. The state is rounded on both ways as it would be on a network.

        Raises:
            RunFailed: also if a parameter is too large for `federation.wire`.
        """
        wire = self.trainer.federation.wire
        start = client_start(sent_to_client(state, wire), state)
        reply = self.trainer.train(client, self.owned[client], start, context)
        sent = sent_to_server(reply.state, start, wire)
        return replace(reply, state=counted_state(sent, state, wire))

    def gather(self, sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply]:
        """Train the sampled clients, each when its reply is asked for; see `trainer.federation.rounds.Gather`."""
        for client in sampled:
            yield self.train_client(client, state, context)
