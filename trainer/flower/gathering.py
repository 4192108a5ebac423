"""A question to several clients over a network: asks, waits, asks again, and yields what came back in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from trainer.errors import RunFailed
from trainer.federation.checks import UpdateRefused
from trainer.flower.envelope import Envelope, Hello, Trouble
from trainer.flower.patience import Waiting
from trainer.flower.post import Answer, Post
from trainer.flower.questions import Question
from trainer.flower.roster import Roster

T = TypeVar("T")


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
    """Bytes of heads and states.

    Attributes:
        sent, received: bytes.
    """

    sent: int = 0
    received: int = 0


@dataclass
class Gathering(Generic[T]):
    """One question to the sites, such as a round of training.

    Attributes:
        post, roster, waiting: the way to the sites.
        question: what is asked, and what an answer means.
        least: once so many clients have replied, the others are waited for `Waiting.late` more.
        run: the run's id.
        stopped: whether the user wants to stop.
        say: tells the user.
        clock, sleep: of time, in seconds.
        traffic: what was sent and received.
        refused: the number of replies that cannot count.
    """

    post: Post
    roster: Roster
    waiting: Waiting
    question: Question[T]
    least: int
    run: str
    stopped: Callable[[], bool]
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    traffic: Traffic = field(default_factory=Traffic)
    refused: int = 0

    def __post_init__(self) -> None:
        self._done: dict[int, T | UpdateRefused] = {}
        self._open: dict[int, Request] = {}

    def replies(self, asked: list[int]) -> Iterator[T | UpdateRefused]:
        """The asked clients' replies in their order; of those that are missing at the end none.

        It ends early once so many replies are refused that the least number cannot be reached.

        Raises:
            Stopped: the user stopped the run.
        """
        self._open = {client: Request() for client in asked}
        began = self.clock()
        enough_since: float | None = None
        waiting_for = list(asked)
        while self._open:
            if self.stopped():
                raise Stopped("stopped; the run goes on from its last complete round with --resume")
            self.roster.look()
            self._send()
            for answer in self.post.fetch(self._ids()):
                self._receive(answer)
            while waiting_for and waiting_for[0] in self._done:
                yield self._done.pop(waiting_for.pop(0))
            now, usable = self.clock(), len(asked) - len(self._open) - self.refused
            if len(asked) - self.refused < self.least:
                break
            if usable >= self.least and enough_since is None:
                enough_since = now
            late = enough_since is not None and now - enough_since > self.waiting.late
            if late or now - began > self.waiting.round:
                break
            if self._open:
                self.sleep(self.waiting.poll)
        self._say_missing()
        yield from (self._done[client] for client in waiting_for if client in self._done)

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
            if request.id is None and request.since <= now:
                ask = self.question.ask(client)
                if id_ := self.post.send(member.node, ask):
                    self._open[client] = Request(id_, member.node, now)
                    self.traffic.sent += ask.size
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

    def _read(self, client: int, answer: Answer) -> T:
        """What an answer says.

        Raises:
            UpdateRefused: nothing that can count.
        """
        if answer.envelope is None:
            raise UpdateRefused(client, answer.trouble)
        self.traffic.received += answer.envelope.size
        if isinstance(answer.envelope.head, Trouble):
            raise UpdateRefused(client, answer.envelope.head.reason)
        return self.question.read(client, answer.envelope)

    def _say_missing(self) -> None:
        for client in self._open:
            where = "no answer" if client in self.roster.members else "not there"
            self.say(f"client {client}: {where} {self.question.when}")
