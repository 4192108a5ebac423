"""A round over a network: asks the sampled clients, waits, asks again, and yields what came back in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trainer.config.sections import FederationConfig
from trainer.errors import RunFailed
from trainer.federation.checks import UpdateRefused
from trainer.federation.exchange import Exchange
from trainer.federation.messages import decode_update, encode_update
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext, least_replies
from trainer.flower.envelope import Envelope, Hello, Train, Trained, Trouble, digest
from trainer.flower.patience import Waiting
from trainer.flower.post import Answer, Post
from trainer.flower.roster import Roster


class Stopped(RunFailed):
    """The user stopped the run."""


@dataclass
class Request:
    """A client's open request.

    Attributes:
        id: None if it has to be sent.
        node: to which it was sent.
        since: when it was sent, or when it may be sent again.
        probes: the ids of the questions whether it was lost.
    """

    id: str | None = None
    node: int = 0
    since: float = float("-inf")
    probes: tuple[str, ...] = ()


@dataclass
class Traffic:
    """A round's bytes (heads and states) and the longest training.

    Attributes:
        sent, received: bytes.
        training: seconds of the client that trained longest.
    """

    sent: int = 0
    received: int = 0
    training: float = 0.0


@dataclass
class Gathering:
    """One round of training at the sites.

    Attributes:
        post, roster, waiting: the way to the sites.
        exchange: what travels.
        settings: the least number of replies.
        run: the run's id.
        state: the server's.
        context: the round.
        stopped: whether the user wants to stop.
        say: tells the user.
        clock, sleep: of time, in seconds.
        traffic: what was sent and received.
        refused: the number of replies that cannot count.
    """

    post: Post
    roster: Roster
    waiting: Waiting
    exchange: Exchange
    settings: FederationConfig
    run: str
    state: State
    context: RoundContext
    stopped: Callable[[], bool]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    traffic: Traffic = field(default_factory=Traffic)
    refused: int = 0

    def __post_init__(self) -> None:
        blob = encode_update(self.exchange.to_client(self.state))
        head = Train(run=self.run, round=self.context.round, rounds=self.context.rounds, base=digest(blob))
        self._ask, self._base = Envelope(head, blob), head.base
        self._done: dict[int, Reply | UpdateRefused] = {}
        self._open: dict[int, Request] = {}

    def replies(self, sampled: list[int]) -> Iterator[Reply | UpdateRefused]:
        """The sampled clients' replies in their order; of those that are missing at the end none.

        Raises:
            RunFailed: so many replies are refused that the least number cannot be reached.
        """
        self._open = {client: Request() for client in sampled}
        least, began = least_replies(len(sampled), self.settings), self.clock()
        enough_since: float | None = None
        waiting_for = list(sampled)
        while self._open:
            if self.stopped():
                raise Stopped("stopped; the run goes on from its last complete round with --resume")
            self.roster.look()
            self._send()
            for answer in self.post.fetch(self._ids()):
                self._receive(answer)
            while waiting_for and waiting_for[0] in self._done:
                yield self._done.pop(waiting_for.pop(0))
            now, usable = self.clock(), self._usable(sampled)
            if len(sampled) - self.refused < least:
                break
            if usable >= least and enough_since is None:
                enough_since = now
            late = enough_since is not None and now - enough_since > self.waiting.late
            if late or now - began > self.waiting.round:
                break
            if self._open:
                self.sleep(self.waiting.poll)
        self._say_missing()
        yield from (self._done[client] for client in waiting_for if client in self._done)

    def _usable(self, sampled: list[int]) -> int:
        return len(sampled) - len(self._open) - self.refused

    def _ids(self) -> list[str]:
        return [id_ for request in self._open.values() for id_ in (request.id, *request.probes) if id_]

    def _send(self) -> None:
        """Ask all clients that are there and not asked yet, or not since their node changed."""
        now = self.clock()
        for client, before in self._open.items():
            member = self.roster.members.get(client)
            if member is None:
                continue
            request = Request() if before.id and before.node != member.node else before
            if request.id is None and request.since <= now and (id_ := self.post.send(member.node, self._ask)):
                self._open[client] = Request(id_, member.node, now)
                self.traffic.sent += self._ask.size
            elif request.id and now - request.since > self.waiting.probe * 2 ** len(request.probes):
                probe = self.post.send(member.node, Envelope(Hello(run=self.run)))
                request.probes = (*request.probes, *([probe] if probe else []))

    def _receive(self, answer: Answer) -> None:
        found = [(c, r) for c, r in self._open.items() if answer.id in (r.id, *r.probes)]
        if not found:
            return
        client, request = found[0]
        head = answer.envelope.head if answer.envelope else None
        if answer.id in request.probes:
            # Answered after the request, and the request is still open: it was lost.
            self.say(f"client {client}: lost what it was asked; asked again")
            self._again(client)
        elif answer.again or (isinstance(head, Trouble) and head.again):
            reason = head.reason if isinstance(head, Trouble) else answer.trouble
            self.say(f"client {client}: {reason}; asked again")
            self._again(client)
        else:
            self._count(client, answer)

    def _again(self, client: int) -> None:
        self._open[client] = Request(since=self.clock() + self.waiting.again)

    def _count(self, client: int, answer: Answer) -> None:
        del self._open[client]
        try:
            self._done[client] = self._read(client, answer)
        except UpdateRefused as refusal:
            self.refused += 1
            self._done[client] = refusal

    def _read(self, client: int, answer: Answer) -> Reply:
        """The reply in an answer.

        Raises:
            UpdateRefused: it is none, or not to this request.
        """
        if answer.envelope is None:
            raise UpdateRefused(client, answer.trouble)
        head, blob = answer.envelope.head, answer.envelope.blob
        self.traffic.received += answer.envelope.size
        if isinstance(head, Trouble):
            raise UpdateRefused(client, head.reason)
        if not isinstance(head, Trained):
            raise UpdateRefused(client, f"sent '{head.kind}' in place of an update")
        if head.client != client:
            raise UpdateRefused(client, f"replied as client {head.client}")
        if (head.run, head.base) != (self.run, self._base):
            raise UpdateRefused(client, f"replied for another run or state, in round {head.round}")
        if digest(blob) != head.hash:
            raise UpdateRefused(client, "sent a state that is not the one of its hash: damaged on the way")
        sent = decode_update(blob, self.exchange.signature, client)
        self.traffic.training = max(self.traffic.training, head.seconds)
        reply = Reply(client, sent, head.examples, head.loss, head.round, head.facts)
        return self.exchange.counted(reply, self.state)

    def _say_missing(self) -> None:
        for client in self._open:
            where = "no answer" if client in self.roster.members else "not there"
            self.say(f"client {client}: {where} in round {self.context.round + 1}")
