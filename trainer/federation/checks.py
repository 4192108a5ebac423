"""Checks of clients' replies before they count. A reply that fails is left out of its round, by name and reason."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from trainer.config.sections import FederationConfig
from trainer.errors import TrainerError
from trainer.federation.replies import Reply, State, norm, signature, state_fault, update

TOO_LONG = 1000
"""An update is too long if its norm is more than this many times the median of the round. Honest norms differ by the
number of local steps, which can be some hundred times as many at a large client; this is a check for nonsense, and the
robust aggregation rules are for what is subtler."""
FEWEST_TO_COMPARE = 3
"""Updates that a median needs to tell a bad one from a good one."""
HELD = 16
"""Replies that are held in memory to find the first median; it bounds the memory of a round with many clients."""


class UpdateRefused(TrainerError):
    """A client's reply that does not count.

    Attributes:
        client: its id.
        reason: what is wrong with the reply.
    """

    def __init__(self, client: int, reason: str) -> None:
        super().__init__(f"client {client}: {reason}")
        self.client, self.reason = client, reason


@dataclass(frozen=True)
class Asked:
    """What a round asks of its clients.

    Attributes:
        round: its index, from 0.
        clients: the ids of those that are asked.
        server: the state that they are sent.
        images: for each client id the number of its training images; None if it is not known beforehand.
        inputs: the hash of the bank, labels and weights that all must have; None if the engine vouches for them.
    """

    round: int
    clients: Sequence[int]
    server: State
    images: Sequence[int] | None = None
    inputs: str | None = None


@dataclass
class RoundChecks:
    """The checks of a round's replies.

    Attributes:
        asked: what the round asks.
        settings: the limits.
        refused: the refusals so far.
    """

    asked: Asked
    settings: FederationConfig
    refused: list[UpdateRefused] = field(default_factory=list)

    def accepted(self, replies: Iterable[Reply | UpdateRefused]) -> Iterator[Reply]:
        """The replies that count, in the order in which they come.

        Args:
            replies: in ascending order of client ids; a refusal in place of a reply that could not even be read.
        """
        return self._not_too_long(self._well_formed(replies))

    def _well_formed(self, replies: Iterable[Reply | UpdateRefused]) -> Iterator[Reply]:
        seen: set[int] = set()
        for reply in replies:
            if isinstance(reply, UpdateRefused):
                self.refused.append(reply)
            elif fault := "replied twice" if reply.client in seen else reply_fault(reply, self.asked):
                self._refuse(reply, fault)
            else:
                seen.add(reply.client)
                yield reply

    def _not_too_long(self, replies: Iterator[Reply]) -> Iterator[Reply]:
        """Without the updates whose norm exceeds `federation.largest_update`, or by default the median by far."""
        measured = ((reply, norm(update(reply.state, self.asked.server))) for reply in replies)
        limit = self.settings.largest_update
        first = [] if limit is not None else list(islice(measured, HELD))
        # An unchanged state says nothing of how long updates are.
        norms = sorted(length for _, length in first if 0 < length < math.inf)
        for reply, length in chain(first, measured):
            largest = _largest(norms) if limit is None else limit
            if length > largest or not math.isfinite(length):
                self._refuse(reply, f"sent an update of norm {length:.3g}; at most {largest:.3g} is accepted")
                continue
            if limit is None and length > 0 and len(norms) >= HELD:
                insort(norms, length)
            yield reply

    def _refuse(self, reply: Reply, reason: str) -> None:
        self.refused.append(UpdateRefused(reply.client, reason))


def reply_fault(reply: Reply, asked: Asked) -> str | None:
    """What is wrong with a reply by itself, to follow "client 3 …"; None if nothing is."""
    if reply.client not in asked.clients:
        return f"was not asked in round {asked.round}"
    if reply.round is not None and reply.round != asked.round:
        return f"replied for round {reply.round} in round {asked.round}"
    if asked.inputs is not None and reply.inputs != asked.inputs:
        return "trained with another bank, other labels or other weights than the server's"
    fault = _claim_fault(reply, asked) or state_fault(reply.state, signature(asked.server))
    return fault and f"sent {fault}"


def _claim_fault(reply: Reply, asked: Asked) -> str | None:
    """What is wrong with the numbers beside the parameters."""
    if type(reply.examples) is not int or reply.examples < 1:
        return f"{reply.examples} as its number of images"
    if asked.images is not None and reply.examples > asked.images[reply.client]:
        return f"{reply.examples} as its number of images, of which it has {asked.images[reply.client]}"
    return None if math.isfinite(reply.loss) else f"a loss of {reply.loss}"


def _largest(norms: Sequence[float]) -> float:
    """The largest accepted norm, from the sorted norms of the round's updates."""
    if len(norms) < FEWEST_TO_COMPARE:
        return math.inf
    return TOO_LONG * norms[(len(norms) - 1) // 2]
