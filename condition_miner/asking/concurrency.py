"""Adaptive concurrency limit: additive increase, multiplicative decrease (AIMD; Chiu and Jain, 1989).

The limit starts at the highest value allowed, is halved when the server is overloaded or slow, and grows by one per
round of answers. A pause that the server asks for (Retry-After) holds back all requests.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Self

DECREASE = 0.5
SLOW_SHARE = 0.5
"""An answer that took more than this share of the time limit counts as overload, before requests time out."""


class ConcurrencyLimiter:
    """Limits the requests in flight; an async context manager around each of them.

    Args:
        highest: the highest limit.
        timeout: time limit of a request, in seconds.

    Attributes:
        limit: the current limit, at least 1.
        lowest: the lowest limit so far.
    """

    def __init__(self, highest: int, timeout: float) -> None:
        self.limit = self.lowest = float(highest)
        self._highest, self._slow = highest, SLOW_SHARE * timeout
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slowed_at = self._resume_at = 0.0

    async def __aenter__(self) -> Self:
        while True:
            pause = self._resume_at - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self._running < int(self.limit):
                self._running += 1
                return self
            else:
                await self._turn()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running -= 1
        self._wake()

    def answered(self, began: float) -> None:
        """Note the answer to a request that was sent at `began` (monotonic seconds)."""
        if time.monotonic() - began > self._slow:
            self.overloaded(began)
        else:
            self.limit = min(self._highest, self.limit + 1 / self.limit)

    def overloaded(self, began: float) -> None:
        """Note that a request met an overloaded server. It counts only if it was sent after the last decrease."""
        if began < self._slowed_at:
            return
        self.limit = max(1.0, self.limit * DECREASE)
        self.lowest = min(self.lowest, self.limit)
        self._slowed_at = time.monotonic()

    def pause(self, seconds: float) -> None:
        """Send no request for this time."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()  # the next waiting request takes its turn
            raise

    def _wake(self) -> None:
        free = int(self.limit) - self._running
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
