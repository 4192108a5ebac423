"""Who speaks for which client: nodes are asked, and those that differ from the server are refused."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from trainer.flower.envelope import Envelope, Facts, Hello, Present, Trouble
from trainer.flower.facts import differences
from trainer.flower.patience import Waiting
from trainer.flower.post import Answer, Post
from trainer.flower.proof import Proved


@dataclass(frozen=True)
class Member:
    """A site that takes part.

    Attributes:
        node: through which it is asked.
    """

    node: int


class Roster:
    """The sites of a federation.

    A client's number stays with its node as long as that node is there: another that claims it is refused until then.
    Refused nodes are asked again from time to time, since what was wrong may have been repaired.

    Args:
        post: the way to the nodes.
        run: the run's id.
        facts: the server's.
        clients: K; clients are 0 … K-1.
        waiting: times.
        say: tells the user.
        proved: whether a client is who it says; None where all are.
        clock: seconds.

    Attributes:
        members: the sites that take part, by client.
        refused: why others don't, by node.
        images: the number of training images that a client says it has, also of those that have left.
    """

    def __init__(
        self,
        post: Post,
        run: str,
        facts: Facts,
        clients: int,
        waiting: Waiting,
        say: Callable[[str], None],
        proved: Proved | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._post, self._facts, self._clients, self._waiting = post, facts, clients, waiting
        self._say, self._proved, self._clock, self._run = say, proved, clock, run
        self._asked: dict[str, tuple[int, str]] = {}
        self._ask_at: dict[int, float] = {}
        self._said: dict[int, str] = {}
        self._looked = float("-inf")
        self.members: dict[int, Member] = {}
        self.refused: dict[int, str] = {}
        self.images: dict[int, int] = {}

    def look(self) -> None:
        """Ask nodes that are new, and read what others answered."""
        now = self._clock()
        for answer in self._post.fetch(list(self._asked)):
            if answer.id in self._asked:
                node, nonce = self._asked[answer.id]
                self._asked = {id_: asked for id_, asked in self._asked.items() if asked[0] != node}
                self._read(node, nonce, answer, now)
        if now - self._looked < self._waiting.look:
            return
        self._looked, nodes = now, self._post.nodes()
        for client, member in list(self.members.items()):
            if member.node not in nodes:
                self._say(f"client {client}: gone")
                del self.members[client]
        self._ask_at = {node: self._ask_at.get(node, now) for node in nodes}
        self.refused = {node: reason for node, reason in self.refused.items() if node in nodes}
        self._asked = {id_: (node, nonce) for id_, (node, nonce) in self._asked.items() if node in nodes}
        for node in sorted(nodes - {member.node for member in self.members.values()}):
            if self._ask_at[node] <= now:
                self._ask(node, now)

    def _ask(self, node: int, now: float) -> None:
        """Ask a node who it is, and plan when to ask again if the question is lost. Any answer counts."""
        before = sum(asked == node for asked, _ in self._asked.values())
        hello = Hello(run=self._run, nonce=secrets.token_hex(16))
        if id_ := self._post.send(node, Envelope(hello)):
            self._asked[id_] = (node, hello.nonce)
            self._ask_at[node] = now + self._waiting.probe * 2**before

    def _read(self, node: int, nonce: str, answer: Answer, now: float) -> None:
        self._ask_at[node] = now + self._waiting.again
        head = answer.envelope.head if answer.envelope else None
        if answer.again or (isinstance(head, Trouble) and head.again):
            return
        if not isinstance(head, Present):
            trouble = head.reason if isinstance(head, Trouble) else answer.trouble or "no answer to a hello"
            self._refuse(node, "a site", trouble)
        elif head.client >= self._clients:
            self._refuse(node, f"client {head.client}", f"there are clients 0 to {self._clients - 1} only")
        elif self._proved and not self._proved(head.client, nonce, head.proof):
            self._refuse(node, f"client {head.client}", "its key is not the one that was made for this number")
        elif different := differences(self._facts, head.facts):
            self._refuse(node, f"client {head.client}", f"differs from the server in {different}")
        elif (member := self.members.get(head.client)) and member.node != node:
            self._refuse(node, f"client {head.client}", "another node takes part as this client")
        else:
            self.refused.pop(node, None)
            self._said.pop(node, None)
            self.members[head.client], self.images[head.client] = Member(node), head.examples
            self._say(f"client {head.client}: takes part with {head.examples:,} images")

    def _refuse(self, node: int, who: str, reason: str) -> None:
        self.refused[node] = f"{who}: {reason}"
        if self._said.get(node) != reason:  # once, not at each question
            self._say(f"refused: {who}: {reason}")
        self._said[node] = reason
