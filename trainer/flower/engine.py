"""The engine of a server whose clients train somewhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from fedmpt.common.words import format_bytes
from trainer.evaluation.at_sites import SiteCounts, sites_record
from trainer.federation.checks import UpdateRefused
from trainer.federation.exchange import Exchange
from trainer.federation.memory import ClientMemory
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext, least_replies
from trainer.flower.envelope import Facts, hash_facts
from trainer.flower.gathering import Gathering
from trainer.flower.patience import Waiting
from trainer.flower.post import Post
from trainer.flower.proof import Proved
from trainer.flower.questions import Counting, Question, Training, kept_by_clients
from trainer.flower.roster import Roster
from trainer.preparing import Prepared

T = TypeVar("T")


class RemoteEngine:
    """Has sites train; see `trainer.federation.rounds.Engine`.

    Args:
        prepared: the run's method and settings.
        post: the way to the sites.
        facts: the server's.
        clients: K.
        run: the run's id.
        waiting: times.
        stopped: whether the user wants to stop.
        proved: see `Roster`.
        memory: says what the clients keep; None if they keep nothing.
    """

    images = None

    def __init__(
        self,
        prepared: Prepared,
        post: Post,
        facts: Facts,
        clients: int,
        run: str,
        waiting: Waiting,
        stopped: Callable[[], bool] = lambda: False,
        proved: Proved | None = None,
        memory: ClientMemory | None = None,
    ) -> None:
        self._memory, self._own_models = memory, bool(prepared.method.personal)
        self._settings, self._say = prepared.config.federation, prepared.reporter.say
        self._exchange = Exchange.of(prepared.method, self._settings.wire)
        self._post, self._run, self._waiting, self._stopped = post, run, waiting, stopped
        self._roster = Roster(post, run, facts, clients, waiting, self._say, proved)
        self._facts, self._figures = facts, dict[str, float]()
        self.clients = clients
        size = format_bytes(self._exchange.bytes)
        self._say(f"each round sends {size} to each of its clients, and as much back (numbers, without headers)")

    @property
    def inputs(self) -> str:
        """The hash of the facts that all replies must have."""
        return hash_facts(self._facts)

    @property
    def figures(self) -> Mapping[str, float]:
        """Bytes sent and received, seconds of the round and of its longest training."""
        return self._figures

    def gather(self, sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply | UpdateRefused]:
        """See `trainer.federation.rounds.Gather`."""
        kept = kept_by_clients(self._memory, self.clients)
        began, training = time.monotonic(), Training(self._exchange, self._run, state, context, kept)
        round_ = self._asking(training, least_replies(len(sampled), self._settings))
        yield from round_.replies(sampled)
        self._figures = {
            "bytes_sent": round_.traffic.sent,
            "bytes_received": round_.traffic.received,
            "round_seconds": time.monotonic() - began,
            "training_seconds": training.longest,
        }

    def evaluate(
        self,
        state: State,
        rounds: int,
        threshold: float,
        with_scores: bool,
        labels: int,
        memory: ClientMemory | None = None,
    ) -> dict[str, Any]:
        """Have the sites count on their own test images; sites without an answer that can count are named.

        Args:
            state: of the model.
            rounds: that it was trained for.
            threshold: on the probability.
            with_scores: whether to ask for scores and labels, too.
            labels: C.
            memory: says what the clients kept after so many rounds; None if they keep nothing.

        Returns:
            The content of sites.json, see `trainer.evaluation.at_sites.sites_record`.
        """
        kept = kept_by_clients(memory, self.clients)
        question = Counting(self._exchange, self._run, state, threshold, with_scores, labels, self.inputs, kept)
        found = dict[int, SiteCounts | None]()
        for told in self._asking(question, least=1).replies(list(range(self.clients))):
            if isinstance(told, UpdateRefused):
                self._say(f"client {told.client}: {told.reason}")
            else:
                found[told[0]] = told[1]
        return sites_record(found, self._roster.images, self.clients, rounds, threshold, self._own_models)

    def _asking(self, question: Question[T], least: int) -> Gathering[T]:
        return Gathering(
            post=self._post,
            roster=self._roster,
            waiting=self._waiting,
            question=question,
            least=least,
            run=self._run,
            stopped=self._stopped,
            say=self._say,
        )
