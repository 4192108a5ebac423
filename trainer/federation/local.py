"""The engine that trains all clients sequentially in this process, sharing one backbone and one method instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer.federation.client import ClientTrainer
from trainer.federation.exchange import Exchange
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

    @property
    def images(self) -> Sequence[int]:
        """For each client the number of its images."""
        return [len(owned) for owned in self.owned]

    @property
    def inputs(self) -> None:
        """All clients use this process's bank and weights."""
        return

    @property
    def figures(self) -> Mapping[str, float]:
        """None."""
        return {}

    @cached_property
    def exchange(self) -> Exchange:
        """What travels."""
        return Exchange.of(self.trainer.method, self.trainer.federation.wire)

    def train_client(self, client: int, state: State, context: RoundContext) -> Reply:
        """See `ClientTrainer.train`. The state is rounded on both ways as it would be on a network.

        Raises:
            RunFailed: also if a parameter is too large for `federation.wire`.
        """
        sent = self.exchange.to_client(state)
        reply = self.exchange.train(self.trainer, client, self.owned[client], sent, context)
        return self.exchange.counted(reply, state)

    def gather(self, sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply]:
        """Train the sampled clients, each when its reply is asked for; see `trainer.federation.rounds.Gather`."""
        for client in sampled:
            yield self.train_client(client, state, context)
