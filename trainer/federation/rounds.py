"""The federated round, its steps in order. It knows neither processes nor a transport layer. Letter: K clients."""

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
    """Read-only: which round this is. Rounds count from 0."""

    round: int
    rounds: int


@dataclass(frozen=True)
class RoundRecord:
    """What happened in a round."""

    round: int
    clients: tuple[int, ...]
    examples: int
    loss: float
    learning_rate: float


TrainClient = Callable[[int, State, RoundContext], Reply]
"""Trains one client from a state; an engine supplies it."""


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
    """One round: draw clients, let each train from the server's state, make one state of their replies.

    Where the rule allows it, replies are taken in as they come, so memory does not grow with the number of clients.

    Args:
        state: the server's state.
        clients: K, how many are registered.
        train_client: the engine's.
        settings: participation, and those of the rule.
        optimiser: for the record of the learning rate.
        seed: draws the clients.
        context: which round.
        aggregation: the server's rule.

    Raises:
        RunFailed: see `aggregate`.
    """
    drawn = draw_clients(clients, settings.participation, seed, context)
    examples: list[int] = []
    losses: list[float] = []

    def replies() -> Iterator[Reply]:
        for client in drawn:
            reply = train_client(client, state, context)
            examples.append(reply.examples)
            losses.append(reply.loss)
            yield reply

    merged = aggregate(aggregation, replies(), state, settings)
    record = RoundRecord(
        round=context.round,
        clients=tuple(drawn),
        examples=sum(examples),
        loss=sum(losses) / len(losses),
        learning_rate=learning_rate(optimiser, context),
    )
    return merged, record


def draw_clients(clients: int, participation: float, seed: int, context: RoundContext) -> list[int]:
    """The clients of a round, ascending, uniformly without replacement."""
    count = drawn_count(clients, participation)
    if count >= clients:
        return list(range(clients))
    generator = numpy_generator(seed, "clients", context.round)
    return sorted(int(c) for c in generator.choice(clients, size=count, replace=False))


def drawn_count(clients: int, participation: float) -> int:
    """How many clients each round has: at least one, at most all."""
    return min(clients, max(1, round(participation * clients)))


def learning_rate(settings: OptimiserConfig, context: RoundContext) -> float:
    """The learning rate of a round: constant, or half a cosine from the start value to the minimum over the rounds.

    A warm-up takes the place of the first rounds; the cosine behind it is where it would be without.
    """
    step = max(context.round - 1, 0) if settings.schedule == "cosine-released" else context.round
    base = settings.learning_rate
    if step < settings.warmup_rounds:
        return settings.warmup_from + (base - settings.warmup_from) * step / settings.warmup_rounds
    if settings.schedule == "constant":
        return base
    return settings.minimum + (base - settings.minimum) * (1 + math.cos(math.pi * step / context.rounds)) / 2
