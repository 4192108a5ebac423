"""The federated round, independent of processes and communication. Shape letter: K clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.errors import RunFailed
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
    """The participants and training metrics of a round.

    Attributes:
        round: its index.
        clients: whose replies were aggregated.
        examples, loss: of those clients, their sum and their mean.
        learning_rate: of the round.
        missing: sampled clients whose replies were not there, or not used.
    """

    round: int
    clients: tuple[int, ...]
    examples: int
    loss: float
    learning_rate: float
    missing: tuple[int, ...] = ()


Gather = Callable[[list[int], State, RoundContext], Iterable[Reply]]
"""Has the sampled clients train from the server's state; provided by an engine. Replies come in ascending order of ids,
without clients that are missing in this round."""


def run_round(
    state: State,
    clients: int,
    gather: Gather,
    settings: FederationConfig,
    optimiser: OptimiserConfig,
    seed: int,
    context: RoundContext,
    aggregation: Aggregation,
) -> tuple[State, RoundRecord]:
    """Run a round: sample clients, have them train from the server's state, aggregate their replies.

    If the rule allows it, replies are aggregated as they arrive, so memory does not grow with the number of clients.

    Args:
        state: the server's state.
        clients: K, the number of registered clients.
        gather: the engine's.
        settings: participation, the least share of replies, and the rule's settings.
        optimiser: for the recorded learning rate.
        seed: for sampling clients.
        context: the round.
        aggregation: the aggregation rule.

    Raises:
        RunFailed: too few replies, or see `aggregate`; the round has changed nothing.
    """
    sampled = sample_clients(clients, settings.participation, seed, context)
    replied: list[int] = []
    examples: list[int] = []
    losses: list[float] = []

    def replies() -> Iterator[Reply]:
        for reply in gather(sampled, state, context):
            replied.append(reply.client)
            examples.append(reply.examples)
            losses.append(reply.loss)
            yield reply
        _check_replied(replied, sampled, settings, context)

    merged = aggregate(aggregation, replies(), state, settings)
    record = RoundRecord(
        round=context.round,
        clients=tuple(replied),
        examples=sum(examples),
        loss=sum(losses) / len(losses),
        learning_rate=learning_rate(optimiser, context),
        missing=_missing(sampled, replied),
    )
    return merged, record


def least_replies(sampled: int, settings: FederationConfig) -> int:
    """The number of replies that a round needs, of so many sampled clients."""
    return max(1, math.ceil(settings.min_replies * sampled))


def _missing(sampled: list[int], replied: list[int]) -> tuple[int, ...]:
    return tuple(client for client in sampled if client not in set(replied))


def _check_replied(replied: list[int], sampled: list[int], settings: FederationConfig, context: RoundContext) -> None:
    """Called after the last reply, before the rule returns.

    Raises:
        RunFailed: a reply of a client that was not sampled, or too few replies.
    """
    if uninvited := sorted(set(replied) - set(sampled)):
        raise RunFailed(f"round {context.round + 1}: client {uninvited[0]} replied and was not asked")
    least = least_replies(len(sampled), settings)
    if len(replied) < least:
        missing = ", ".join(str(client) for client in _missing(sampled, replied))
        raise RunFailed(
            f"round {context.round + 1}: {len(replied)} of {len(sampled)} replies, and it needs {least} "
            f"(federation.min_replies={settings.min_replies:g}); missing: client {missing}. Nothing was aggregated; "
            "resume the run when they are back"
        )


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
