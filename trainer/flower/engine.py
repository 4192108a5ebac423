"""The engine of a server whose clients train somewhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from fedmpt.common.words import format_bytes
from trainer.errors import TrainerError
from trainer.federation.checks import UpdateRefused
from trainer.federation.exchange import Exchange
from trainer.federation.memory import stateful_clients
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext
from trainer.flower.envelope import Facts, hash_facts
from trainer.flower.gathering import Gathering
from trainer.flower.patience import Waiting
from trainer.flower.post import Post
from trainer.flower.proof import Proved
from trainer.flower.roster import Roster
from trainer.preparing import Prepared


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

    Raises:
        TrainerError: clients that keep state.
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
    ) -> None:
        refuse_stateful(prepared)
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
        began = time.monotonic()
        round_ = Gathering(
            post=self._post,
            roster=self._roster,
            waiting=self._waiting,
            exchange=self._exchange,
            settings=self._settings,
            run=self._run,
            state=state,
            context=context,
            stopped=self._stopped,
            say=self._say,
        )
        yield from round_.replies(sampled)
        traffic = round_.traffic
        self._figures = {
            "bytes_sent": traffic.sent,
            "bytes_received": traffic.received,
            "round_seconds": time.monotonic() - began,
            "training_seconds": traffic.training,
        }


def refuse_stateful(prepared: Prepared) -> None:
    """Raise for settings with which clients keep state.

    Raises:
        TrainerError: there is state.
    """
    if stateful_clients(prepared.config.federation, prepared.method):
        raise TrainerError(
            f"{prepared.config.method.name} with federation.memory={prepared.config.federation.memory}: clients keep "
            "state between rounds, which the Flower engine does not; train with --engine local"
        )
