"""The engine that trains all clients sequentially in this process, sharing one backbone and one method instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainer.federation.client import ClientTrainer
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext


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
        """See `ClientTrainer.train`."""
        return self.trainer.train(client, self.owned[client], state, context)

    def gather(self, sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply]:
        """Train the sampled clients, each when its reply is asked for; see `trainer.federation.rounds.Gather`."""
        for client in sampled:
            yield self.train_client(client, state, context)
