"""The federated round, independent of processes and communication. Shape letter: K clients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.errors import RunFailed
from trainer.federation.aggregation.registry import Aggregation, aggregate
from trainer.federation.checks import Asked, RoundChecks, UpdateRefused
from trainer.federation.privacy import Spent
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
        round: its index, from 0.
        clients: those whose replies count.
        examples: the number of their images.
        loss: the mean of their losses; None if they are not told.
        learning_rate: of the round.
        missing: sampled clients that did not reply.
        refused: the replies that did not count.
        privacy: what protects the clients' updates so far; None if nothing does.
    """

    round: int
    clients: tuple[int, ...]
    examples: int
    loss: float | None
    learning_rate: float
    missing: tuple[int, ...] = ()
    refused: tuple[UpdateRefused, ...] = ()
    privacy: Spent | None = None


Gather = Callable[[list[int], State, RoundContext], Iterable[Reply | UpdateRefused]]
"""Has the sampled clients train from the server's state; provided by an engine. Replies come in ascending order of ids,
without clients that are missing in this round; a refusal stands for a reply that could not even be read."""


class Engine(Protocol):
    """Has clients train: in this process, or somewhere else."""

    @property
    def clients(self) -> int:
        """K, the number of registered clients."""
        ...

    @property
    def images(self) -> Sequence[int] | None:
        """For each client the number of its training images; None if it is not known beforehand."""
        ...

    @property
    def inputs(self) -> str | None:
        """The hash that all replies must have as `Reply.inputs`; None if the engine vouches for them."""
        ...

    @property
    def figures(self) -> Mapping[str, float]:
        """Numbers on the last round for the run's metrics, such as bytes sent."""
        ...

    def gather(self, sampled: list[int], state: State, context: RoundContext) -> Iterable[Reply | UpdateRefused]:
        """See `Gather`."""
        ...


def run_round(
    state: State,
    clients: int,
    gather: Gather,
    settings: FederationConfig,
    optimiser: OptimiserConfig,
    seed: int,
    context: RoundContext,
    aggregation: Aggregation,
    images: Sequence[int] | None = None,
    inputs: str | None = None,
) -> tuple[State, RoundRecord]:
    """Run a round: sample clients, have them train from the server's state, check and aggregate their replies.

    A bad reply is as if its client had not taken part, see `RoundChecks`. If the rule allows it, replies are aggregated
    as they arrive, so memory does not grow with the number of clients.

    Args:
        state: the server's state.
        clients: K, the number of registered clients.
        gather: the engine's.
        settings: participation, the least share of replies, limits of the checks, and the rule's settings.
        optimiser: for the recorded learning rate.
        seed: for sampling clients.
        context: the round.
        aggregation: the aggregation rule.
        images: for each client the number of its training images, which its reply may not exceed; None: any number.
        inputs: the hash that all replies must have as `Reply.inputs`; None: not compared.

    Raises:
        RunFailed: too few replies that count, or see `aggregate`; the round has changed nothing.
    """
    sampled = sample_clients(clients, settings.participation, seed, context)
    checks = RoundChecks(Asked(context.round, sampled, state, images, inputs), settings)
    counted: list[Reply] = []

    def replies() -> Iterator[Reply]:
        for reply in checks.accepted(gather(sampled, state, context)):
            counted.append(replace(reply, state={}))  # without its tensors, so that memory does not grow
            yield reply
        _check_replied([reply.client for reply in counted], sampled, checks.refused, settings, context)

    merged = aggregate(aggregation, replies(), state, settings)
    losses = [reply.loss for reply in counted if reply.loss is not None]
    replied = tuple(reply.client for reply in counted)
    record = RoundRecord(
        round=context.round,
        clients=replied,
        examples=sum(reply.examples for reply in counted),
        loss=sum(losses) / len(losses) if losses else None,
        learning_rate=learning_rate(optimiser, context),
        missing=_missing(sampled, replied, checks.refused),
        refused=tuple(checks.refused),
    )
    return merged, record


def least_replies(sampled: int, settings: FederationConfig) -> int:
    """The number of replies that a round needs, of so many sampled clients."""
    return max(1, math.ceil(settings.min_replies * sampled))


def _missing(sampled: list[int], replied: Sequence[int], refused: Sequence[UpdateRefused]) -> tuple[int, ...]:
    there = {*replied, *(refusal.client for refusal in refused)}
    return tuple(client for client in sampled if client not in there)


def _check_replied(
    replied: list[int],
    sampled: list[int],
    refused: Sequence[UpdateRefused],
    settings: FederationConfig,
    context: RoundContext,
) -> None:
    """Called after the last reply, before the rule returns.

    Raises:
        RunFailed: too few replies that count.
    """
    least = least_replies(len(sampled), settings)
    if len(replied) < least:
        missing = _missing(sampled, replied, refused)
        named = f"; missing: client {', '.join(str(client) for client in missing)}" if missing else ""
        named += "".join(f"; {refusal}" for refusal in refused)
        raise RunFailed(
            f"round {context.round + 1}: {len(replied)} of {len(sampled)} replies count, and it needs {least} "
            f"(federation.min_replies={settings.min_replies:g}){named}. "
            "Nothing was aggregated; resume the run when they are back"
        )


def sample_clients(clients: int, participation: float, seed: int, context: RoundContext) -> list[int]:
    """The clients of a round, sampled uniformly without replacement, in ascending order."""
    count = clients_per_round(clients, participation)
    if count >= clients:
        return list(range(clients))
    generator = numpy_generator(seed, "clients", context.round)
    return sorted(int(c) for c in generator.choice(clients, size=count, replace=False))


def most_rounds(clients: int, participation: float, seed: int, rounds: int) -> int:
    """The number of rounds of the client that is asked most often in a run."""
    asked = [0] * clients
    for index in range(rounds):
        for client in sample_clients(clients, participation, seed, RoundContext(index, rounds)):
            asked[client] += 1
    return max(asked)


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
