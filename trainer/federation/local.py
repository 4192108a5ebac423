"""The engine that trains all clients in this process, one after another, on one backbone and one method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from trainer.config import FederationConfig, OptimiserConfig
from trainer.data.features import FeatureStore
from trainer.errors import RunFailed
from trainer.federation.aggregation import Reply, State
from trainer.federation.rounds import RoundContext, learning_rate
from trainer.federation.seeding import numpy_generator
from trainer.methods.base import Method


@dataclass(frozen=True)
class LocalEngine:
    """Clients as index lists into one feature store.

    Attributes:
        method: the one instance that each client's state is loaded into in turn.
        features: of the training split.
        owned: for each client the indices of its own images.
        federation, optimiser: the settings.
        seed: orders a client's images.
    """

    method: Method
    features: FeatureStore
    owned: tuple[np.ndarray, ...]
    federation: FederationConfig
    optimiser: OptimiserConfig
    seed: int

    def train_client(self, client: int, state: State, context: RoundContext) -> Reply:
        """Local epochs over the client's own images, from the server's state.

        Raises:
            RunFailed: where a loss is not finite; says client, round and batch. Nothing is updated then.
        """
        self.method.receive(state)
        optimiser = make_optimiser(self.method, self.optimiser, learning_rate(self.optimiser, context))
        losses: list[float] = []
        for epoch in range(self.federation.local_epochs):
            order = numpy_generator(self.seed, "batches", context.round, client, epoch).permutation(self.owned[client])
            for start in range(0, len(order), self.optimiser.batch_size):
                losses.append(self._step(optimiser, order[start : start + self.optimiser.batch_size]))
                if not np.isfinite(losses[-1]):
                    raise RunFailed(
                        f"the loss is {losses[-1]} at client {client}, round {context.round}, batch {len(losses) - 1}: "
                        "lower optimiser.learning_rate, or look at that client's images"
                    )
        return Reply(client, self.method.exchanged(), len(self.owned[client]), sum(losses) / max(1, len(losses)))

    def _step(self, optimiser: torch.optim.Optimizer, indices: np.ndarray) -> float:
        """One update; none where the loss is not finite."""
        batch = self.features.batch(indices).to(self.method.clip.device)
        loss = self.method.loss(batch)
        optimiser.zero_grad()
        value = float(loss.detach())
        if np.isfinite(value):
            loss.backward()
            optimiser.step()
        return value


def make_optimiser(method: Method, settings: OptimiserConfig, rate: float) -> torch.optim.Optimizer:
    """A fresh optimiser over the exchanged parameters."""
    parameters = [p for p in method.parameters() if p.requires_grad]
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(parameters, lr=rate, betas=(settings.momentum, 0.999), weight_decay=settings.weight_decay)
