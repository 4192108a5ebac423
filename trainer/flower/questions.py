"""What the server asks sites, and what their answers mean: training in a round, counting on their own test images."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

from trainer.evaluation.at_sites import SiteCounts, received_counts, site_signature
from trainer.federation.checks import UpdateRefused
from trainer.federation.exchange import Exchange
from trainer.federation.memory import ClientMemory
from trainer.federation.messages import decode_update, encode_update
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext
from trainer.flower.envelope import Counted, Envelope, Evaluate, Kept, Train, Trained, digest

T_co = TypeVar("T_co", covariant=True)


class Question(Protocol[T_co]):
    """A question to all clients that are asked."""

    def ask(self, client: int) -> Envelope:
        """The message to a client."""
        ...

    @property
    def when(self) -> str:
        """Words for the time of asking, after "no answer"."""
        ...

    def read(self, client: int, envelope: Envelope) -> T_co:
        """What a client's answer says.

        Raises:
            UpdateRefused: it is no answer to this question, or cannot count.
        """
        ...


class Training:
    """Asks for a round of training; see `Question`.

    Args:
        exchange: what travels.
        run: the run's id.
        state: the server's.
        context: the round.
        kept: what each client keeps; without those that keep nothing.

    Attributes:
        longest: seconds of the client that trained longest so far.
    """

    def __init__(
        self,
        exchange: Exchange,
        run: str,
        state: State,
        context: RoundContext,
        kept: Mapping[int, Kept] = MappingProxyType({}),
    ) -> None:
        self._exchange, self._state, self._kept = exchange, state, kept
        self._blob = encode_update(exchange.to_client(state))
        self._head = Train(run=run, round=context.round, rounds=context.rounds, base=digest(self._blob))
        self.when, self.longest = f"in round {context.round + 1}", 0.0

    def ask(self, client: int) -> Envelope:
        """The message to a client."""
        return Envelope(self._head.model_copy(update={"kept": self._kept.get(client)}), self._blob)

    def read(self, client: int, envelope: Envelope) -> Reply:
        """The client's reply, with its whole state."""
        head = envelope.head
        if not isinstance(head, Trained):
            raise UpdateRefused(client, f"sent '{head.kind}' in place of an update")
        if head.client != client:
            raise UpdateRefused(client, f"replied as client {head.client}")
        if (head.run, head.base) != (self._head.run, self._head.base):
            raise UpdateRefused(client, f"replied for another run or state, in round {head.round}")
        _check_hash(client, head.hash, envelope.blob)
        sent = decode_update(envelope.blob, self._exchange.signature, client)
        self.longest = max(self.longest, head.seconds)
        reply = Reply(client, sent, head.examples, head.loss, head.round, head.facts)
        return self._exchange.counted(reply, self._state)


class Counting:
    """Asks for counts on the sites' own test images; see `Question`. A site without any, or that tells none, has None.

    Args:
        exchange: what travels.
        run: the run's id.
        state: of the evaluated model.
        threshold: on the probability.
        with_scores: whether to ask for scores and labels of each image; a site may send counts all the same.
        labels: C.
        facts: the hash of the server's facts.
        kept: what each client keeps; without those that keep nothing.
    """

    when = "with counts of its test images"

    def __init__(
        self,
        exchange: Exchange,
        run: str,
        state: State,
        threshold: float,
        with_scores: bool,
        labels: int,
        facts: str,
        kept: Mapping[int, Kept] = MappingProxyType({}),
    ) -> None:
        self._blob = encode_update(exchange.to_client(state))
        self._head = Evaluate(run=run, base=digest(self._blob), threshold=threshold, scores=with_scores)
        self._labels, self._facts, self._kept = labels, facts, kept

    def ask(self, client: int) -> Envelope:
        """The message to a client."""
        return Envelope(self._head.model_copy(update={"kept": self._kept.get(client)}), self._blob)

    def read(self, client: int, envelope: Envelope) -> tuple[int, SiteCounts | None]:
        """The client's number, and what it counted."""
        head, blob = envelope.head, envelope.blob
        if not isinstance(head, Counted):
            raise UpdateRefused(client, f"sent '{head.kind}' in place of counts")
        if head.client != client:
            raise UpdateRefused(client, f"replied as client {head.client}")
        if (head.run, head.base) != (self._head.run, self._head.base):
            raise UpdateRefused(client, "counted for another run or state")
        if head.facts != self._facts:
            raise UpdateRefused(client, "counted with another bank, other labels or settings")
        if not head.images:
            return client, None
        _check_hash(client, head.hash, blob)
        if head.scores and not self._head.scores:
            raise UpdateRefused(client, "sent scores, for which nobody asked")
        tensors = decode_update(blob, site_signature(head.images, self._labels, head.scores), client)
        return client, received_counts(tensors, head.images, client, self._head.threshold)


def kept_by_clients(memory: ClientMemory | None, clients: int) -> dict[int, Kept]:
    """What each of so many clients keeps, by the indices that the server has; empty if they keep nothing."""
    if memory is None:
        return {}
    needed: dict[int, list[int]] = {client: [] for client in range(clients)}
    for client, rounds in sorted(memory.needed()):
        needed[client].append(rounds)
    name = memory.elsewhere
    return {c: Kept(memory=name, since=memory.since(c), needed=tuple(rounds)) for c, rounds in needed.items()}


def _check_hash(client: int, expected: str, blob: bytes) -> None:
    if digest(blob) != expected:
        raise UpdateRefused(client, "sent a state that is not the one of its hash: damaged on the way")
