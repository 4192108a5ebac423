"""The federated round, independent of processes and communication. Shape letter: K clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.federation.aggregation.registry import Aggregation, aggregate
from trainer.federation.replies import Reply, State
from trainer.seeding import numpy_generator


@dataclass(frozen=True)
class RoundContext:
    """The index of a round, from 0, and the total number of rounds."""

    round: int
    rounds: int


@dataclass(frozen=True)
class RoundRecord:
    """The participants and training metrics of a round."""

    round: int
    clients: tuple[int, ...]
    examples: int
    loss: float
    learning_rate: float


TrainClient = Callable[[int, State, RoundContext], Reply]
"""Trains a client from the server's state; provided by an engine."""


def run_round(
    state: State,
    clients: int,
    train_client: TrainClient,
    settings: FederationConfig,
    optimiser: OptimiserConfig,
    seed: int,
    context: RoundContext,
    aggregation: Aggregation,
) -> tuple[State, RoundRecord]:
    """Run a round: sample clients, train each from the server's state, aggregate their replies.

    If the rule allows it, replies are aggregated as they arrive, so memory does not grow with the number of clients.

    Args:
        state: the server's state.
        clients: K, the number of registered clients.
        train_client: the engine's.
        settings: participation, and the rule's settings.
        optimiser: for the recorded learning rate.
        seed: for sampling clients.
        context: the round.
        aggregation: the aggregation rule.

    Raises:
        RunFailed: see `aggregate`.
    """
    sampled = sample_clients(clients, settings.participation, seed, context)
    examples: list[int] = []
    losses: list[float] = []

    def replies() -> Iterator[Reply]:
        for client in sampled:
            reply = train_client(client, state, context)
            examples.append(reply.examples)
            losses.append(reply.loss)
            yield reply

    merged = aggregate(aggregation, replies(), state, settings)
    record = RoundRecord(
        round=context.round,
        clients=tuple(sampled),
        examples=sum(examples),
        loss=sum(losses) / len(losses),
        learning_rate=learning_rate(optimiser, context),
    )
    return merged, record


def sample_clients(clients: int, participation: float, seed: int, context: RoundContext) -> list[int]:
    """The clients of a round, sampled uniformly without replacement, in ascending order."""
    count = clients_per_round(clients, participation)
    if count >= clients:
        return list(range(clients))
    generator = numpy_generator(seed, "clients", context.round)
    return sorted(int(c) for c in generator.choice(clients, size=count, replace=False))


def clients_per_round(clients: int, participation: float) -> int:
    """The number of clients in each round: at least one, at most all."""
    return min(clients, max(1, round(participation * clients)))


def learning_rate(settings: OptimiserConfig, context: RoundContext) -> float:
    """The learning rate of a round: constant, or cosine annealing to the minimum over all rounds.

    Linear warm-up replaces the first rounds; it does not shift the cosine after it.
    """
    step = max(context.round - 1, 0) if settings.schedule == "cosine-released" else context.round
    base = settings.learning_rate
    if step < settings.warmup_rounds:
        return settings.warmup_from + (base - settings.warmup_from) * step / settings.warmup_rounds
    if settings.schedule == "constant":
        return base
    return settings.minimum + (base - settings.minimum) * (1 + math.cos(math.pi * step / context.rounds)) / 2
