"""Sends a request within the concurrency limit and the budget, and retries it with back-off (transient failures)."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from condition_miner.asking.budget import Budget
from condition_miner.asking.concurrency import ConcurrencyLimiter
from condition_miner.errors import MiningFailed
from condition_miner.model.backend import Backend, Reply, RequestFailed, TransientFailure
from condition_miner.settings import ServiceSettings

FIRST_BACKOFF, MAX_BACKOFF = 0.5, 20.0
"""Exponential back-off in seconds: doubled at each retry, up to the maximum, times a jitter of 0.5 to 1."""
MAX_CONSECUTIVE_FAILURES = 10
"""Requests in a row that may fail after all their retries; then the run ends, for the server seems to be down."""


class Stopped(Exception):
    """The run is ending early, so the request was not sent."""


@dataclass
class Sender:
    """Sends requests to a backend.

    Attributes:
        backend: answers the requests.
        service: limits of the requests.
        budget: the token budget.
        where: name of the endpoint in error messages.
        seed: seed of the back-off's jitter.
        limiter: the concurrency limiter.
        sent: the number of requests sent so far, retries included.
        stopping: set to True by the caller to send nothing more.
        in_flight: tasks that wait for an answer.
    """

    backend: Backend
    service: ServiceSettings
    budget: Budget
    where: str
    seed: int = 0
    sent: int = field(default=0, init=False)
    stopping: bool = field(default=False, init=False)
    in_flight: set[asyncio.Task[Any] | None] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.limiter = ConcurrencyLimiter(self.service.concurrency, self.service.timeout)
        self._rng = random.Random(self.seed)
        self._consecutive_failures = 0

    async def send(self, body: dict[str, Any]) -> Reply:
        """The reply to a request.

        Raises:
            RequestFailed: the request failed permanently, or all its retries did (TransientFailure).
            MiningFailed: no request can succeed, or the server asks to wait for too long.
            BudgetExceeded: the request could exceed the budget.
            Stopped: the run is ending early.
        """
        for retry in range(self.service.retries + 1):
            async with self.limiter, self.budget.reserved(body):
                try:
                    reply = await self._send_once(body)
                except TransientFailure as error:
                    failure = error
                else:
                    self._consecutive_failures = 0
                    return reply
            await self._back_off(failure, retry)
        self._consecutive_failures += 1
        if self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
            raise MiningFailed(
                f"{self.where}: {MAX_CONSECUTIVE_FAILURES} requests in a row failed, the last one with: {failure}. "
                "The answers so far are kept; look after the server, then run the same command again"
            )
        raise failure

    async def _send_once(self, body: dict[str, Any]) -> Reply:
        if self.stopping:
            raise Stopped
        self.sent += 1
        began = time.monotonic()
        task = asyncio.current_task()
        self.in_flight.add(task)
        try:
            reply = await self.backend.complete(body)
        except TransientFailure as error:
            if error.overloaded:
                self.limiter.overloaded(began)
            raise
        except RequestFailed:
            self._consecutive_failures = 0
            raise
        finally:
            self.in_flight.discard(task)
        self.limiter.answered(began)
        self.budget.spend(body, reply)
        return reply

    async def _back_off(self, failure: TransientFailure, retry: int) -> None:
        if failure.retry_after is not None:
            if failure.retry_after > self.service.longest_wait:
                raise MiningFailed(
                    f"{self.where}: the server asks to wait {failure.retry_after:.0f} s, more than --longest-wait "
                    f"{self.service.longest_wait:.0f} ({failure}); the answers so far are kept, run the same command "
                    "again later"
                )
            self.limiter.pause(failure.retry_after)
        if self.stopping:
            raise Stopped
        if retry == self.service.retries:
            return
        backoff = min(FIRST_BACKOFF * 2**retry, MAX_BACKOFF) * self._rng.uniform(0.5, 1)
        await asyncio.sleep(failure.retry_after if failure.retry_after is not None else backoff)
