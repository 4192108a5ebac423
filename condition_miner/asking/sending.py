"""One request until it is answered: paced, sent again after passing failures, within the budget."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from condition_miner.asking.budget import Budget
from condition_miner.asking.pacing import Pace
from condition_miner.errors import MiningFailed
from condition_miner.model.backend import Backend, Busy, Refused, Reply
from condition_miner.settings import ServiceSettings

FIRST_WAIT, LONGEST_BACKOFF = 0.5, 20.0
"""Seconds before a request is sent again; doubled each time, up to the longest, times a jitter of 0.5 to 1."""
MOST_LOST = 10
"""So many requests in a row that failed after all their retries end the run: the server is gone or broken."""


class Stopped(Exception):
    """The run is being interrupted: nothing more is sent."""


@dataclass
class Sender:
    """Sends requests to a backend.

    Attributes:
        backend: answers them.
        service: limits.
        budget: counts their tokens.
        where: names the backend in messages.
        seed: of the jitter.
        pace: how many run at once.
        sent: how many left.
        stopping: set from outside, nothing more leaves.
        asking: tasks whose request is under way.
    """

    backend: Backend
    service: ServiceSettings
    budget: Budget
    where: str
    seed: int = 0
    sent: int = field(default=0, init=False)
    stopping: bool = field(default=False, init=False)
    asking: set[asyncio.Task[Any] | None] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.pace = Pace(self.service.concurrency, self.service.timeout)
        self._rng = random.Random(self.seed)
        self._lost = 0

    async def send(self, body: dict[str, Any]) -> Reply:
        """The reply to a request.

        Raises:
            Refused: it failed for good, or was sent again in vain (Busy).
            MiningFailed: no request can succeed, or the server asks to wait for too long.
            BudgetSpent: it could exceed the budget.
            Stopped: the run is being interrupted.
        """
        for retry in range(self.service.retries + 1):
            async with self.pace, self.budget.reserved(body):
                try:
                    reply = await self._once(body)
                except Busy as error:
                    busy = error
                else:
                    self._lost = 0
                    return reply
            await self._wait(busy, retry)
        self._lost += 1
        if self._lost >= MOST_LOST:
            raise MiningFailed(
                f"{self.where}: {MOST_LOST} requests in a row failed, the last one with: {busy}. "
                "The answers so far are kept; look after the server, then run the same command again"
            )
        raise busy

    async def _once(self, body: dict[str, Any]) -> Reply:
        if self.stopping:
            raise Stopped
        self.sent += 1
        began = time.monotonic()
        task = asyncio.current_task()
        self.asking.add(task)
        try:
            reply = await self.backend.ask(body)
        except Busy as error:
            if error.overloaded:
                self.pace.overloaded(began)
            raise
        except Refused:
            self._lost = 0
            raise
        finally:
            self.asking.discard(task)
        self.pace.answered(began)
        self.budget.spend(body, reply)
        return reply

    async def _wait(self, busy: Busy, retry: int) -> None:
        if busy.retry_after is not None:
            if busy.retry_after > self.service.longest_wait:
                raise MiningFailed(
                    f"{self.where}: the server asks to wait {busy.retry_after:.0f} s, more than --longest-wait "
                    f"{self.service.longest_wait:.0f} ({busy}); the answers so far are kept, run the same command "
                    "again later"
                )
            self.pace.pause(busy.retry_after)
        if self.stopping:
            raise Stopped
        if retry == self.service.retries:
            return
        backoff = min(FIRST_WAIT * 2**retry, LONGEST_BACKOFF) * self._rng.uniform(0.5, 1)
        await asyncio.sleep(busy.retry_after if busy.retry_after is not None else backoff)
