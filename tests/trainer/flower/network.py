"""A network without Flower: sites that answer, lose, delay or lie, and a clock that goes on when somebody waits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from trainer.config.sections import FederationConfig
from trainer.evaluation.at_sites import SiteCounts
from trainer.federation.exchange import Exchange
from trainer.federation.messages import decode_update, encode_update
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext, least_replies
from trainer.flower.envelope import Counted, Envelope, Evaluate, Hello, Present, Train, Trained, digest, hash_facts
from trainer.flower.gathering import Gathering
from trainer.flower.patience import Waiting
from trainer.flower.post import Answer
from trainer.flower.proof import Proved, prove
from trainer.flower.questions import Question, Training
from trainer.flower.roster import Roster

T = TypeVar("T")
FACTS = {"the bank": "a", "the labels or their order": "b"}
WAITING = Waiting(round=1000, late=100, poll=1, look=3, again=5, probe=30)
STATE: State = {"w": torch.tensor([10.0, 20.0]), "table": torch.tensor([7.0])}
EXCHANGE = Exchange(STATE, {"table": STATE["table"]}, "float32")


@dataclass
class FakeSite:
    """A client at a node, which adds its number + 1 to what it is sent.

    Attributes:
        client: its number.
        facts: what it says of itself.
        delay: seconds until an answer.
        change: of its reply to training.
        key: with which it proves who it is.
        counts: of two labels on its five test images; None if it tells nothing of them.
        logits: of these.
    """

    client: int
    facts: dict[str, str] = field(default_factory=lambda: dict(FACTS))
    delay: float = 1.0
    change: Callable[[Envelope], Envelope | None] = lambda envelope: envelope
    key: Path | None = None
    counts: Tensor | None = None
    logits: Tensor = field(default_factory=lambda: torch.ones(5, 2))

    def answer(self, ask: Envelope) -> Envelope | None:
        """None if the request is lost."""
        if isinstance(ask.head, Hello):
            proof = self.key and prove(self.key, self.client, ask.head.nonce)
            return Envelope(Present(client=self.client, examples=5, facts=self.facts, proof=proof or ""))
        if isinstance(ask.head, Evaluate):
            return self._count(ask.head)
        assert isinstance(ask.head, Train)
        sent = decode_update(ask.blob, EXCHANGE.signature, self.client)
        blob = encode_update({name: value + self.client + 1 for name, value in sent.items()})
        head = Trained(
            client=self.client,
            run=ask.head.run,
            round=ask.head.round,
            base=ask.head.base,
            facts=hash_facts(self.facts),
            hash=digest(blob),
            examples=5,
            loss=0.5,
            seconds=1.0,
        )
        return self.change(Envelope(head, blob))

    def _count(self, ask: Evaluate) -> Envelope | None:
        blob = b""
        if self.counts is not None:
            scored = (self.logits, torch.ones(len(self.logits), 2, dtype=torch.int8)) if ask.scores else None
            blob = encode_update(SiteCounts(5, self.counts, scored).tensors())
        head = Counted(
            client=self.client,
            run=ask.run,
            base=ask.base,
            facts=hash_facts(self.facts),
            hash=digest(blob),
            images=0 if self.counts is None else 5,
            scores=self.counts is not None and ask.scores,
        )
        return self.change(Envelope(head, blob))


class Network:
    """Nodes and a clock; see `trainer.flower.post.Post`."""

    def __init__(self, sites: dict[int, FakeSite]) -> None:
        self.sites, self.now, self.said, self.loses_hellos = sites, 0.0, list[str](), False
        self.asked: list[tuple[int, str]] = []
        self.events: list[tuple[float, Callable[[], None]]] = []
        self._ids, self._ready = count(), dict[str, tuple[float, Answer]]()

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self.events.append((when, event))

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for event in [event for event in self.events if event[0] <= self.now]:
            self.events.remove(event)
            event[1]()

    def nodes(self) -> set[int]:
        return set(self.sites)

    def send(self, node: int, envelope: Envelope) -> str | None:
        self.asked.append((node, envelope.head.kind))
        id_ = str(next(self._ids))
        if self.loses_hellos and isinstance(envelope.head, Hello):
            return id_
        if (site := self.sites.get(node)) and (answer := site.answer(envelope)):
            self.arrives(id_, site.delay, answer)
        return id_

    def arrives(self, id_: str, delay: float, envelope: Envelope) -> None:
        self._ready[id_] = (self.now + delay, Answer(id_, envelope))

    def fetch(self, ids: Collection[str]) -> list[Answer]:
        there = [id_ for id_ in ids if id_ in self._ready and self._ready[id_][0] <= self.now]
        return [self._ready.pop(id_)[1] for id_ in there]

    def roster(self, clients: int, proved: Proved | None = None) -> Roster:
        """A server's roster on this network."""
        return Roster(self, "run", FACTS, clients, WAITING, self.said.append, proved, self.clock)

    def gathering(
        self, roster: Roster, clients: int, waiting: Waiting = WAITING, **settings: float
    ) -> Gathering[Reply]:
        """Round 0 on this network."""
        federation = FederationConfig().model_copy(update=settings)
        least = least_replies(clients, federation)
        return self.asking(Training(EXCHANGE, "run", STATE, RoundContext(0, 3)), roster, least, waiting)

    def asking(self, question: Question[T], roster: Roster, least: int, waiting: Waiting = WAITING) -> Gathering[T]:
        """A question on this network."""
        return Gathering(
            self, roster, waiting, question, least, "run", lambda: False, self.said.append, self.clock, self.sleep
        )


def altered(envelope: Envelope, **changes: object) -> Envelope:
    """An envelope with another head."""
    return replace(envelope, head=envelope.head.model_copy(update=changes))
