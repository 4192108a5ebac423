"""How many requests run at once: additive increase, multiplicative decrease (Chiu and Jain, 1989).

It begins at the most that is allowed, halves where the server is overloaded or slow, and grows by one for each round of
answers. A pause that the server asks for holds up all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from types import TracebackType
from typing import Self

DECREASE = 0.5
SLOW = 0.5
"""An answer that took more than this share of the time limit is a sign of overload: more at once would time out."""


class Pace:
    """A gate for requests; an async context manager around each.

    Args:
        most: requests at once at the most.
        timeout: seconds that one may take.

    Attributes:
        limit: how many may run now; at least 1.
        lowest: the lowest that the limit has been.
    """

    def __init__(self, most: int, timeout: float) -> None:
        self.limit = self.lowest = float(most)
        self._most, self._slow = most, SLOW * timeout
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
        """A request that left at `began` (monotonic seconds) has its answer."""
        if time.monotonic() - began > self._slow:
            self.overloaded(began)
        else:
            self.limit = min(self._most, self.limit + 1 / self.limit)

    def overloaded(self, began: float) -> None:
        """A request that left at `began` met an overloaded server; it counts if it left after the last decrease."""
        if began < self._slowed_at:
            return
        self.limit = max(1.0, self.limit * DECREASE)
        self.lowest = min(self.lowest, self.limit)
        self._slowed_at = time.monotonic()

    def pause(self, seconds: float) -> None:
        """No request leaves for so long."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._wake()  # its turn goes to the next one
            raise

    def _wake(self) -> None:
        free = int(self.limit) - self._running
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
