"""Ending work without losing an answer: what is under way may still come in, nothing new leaves."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from condition_miner.asking.sending import Sender

GRACE = 10.0
"""Seconds that requests under way have to come in after an interruption or a failure of the whole run."""


class Crew:
    """Workers that send requests, and the first thing that ends them early.

    Attributes:
        interrupted: the user pressed Ctrl-C.
        failure: an error of one worker, which ends the run.
    """

    def __init__(self, sender: Sender, notice: Callable[[str], None]) -> None:
        self.interrupted = False
        self.failure: BaseException | None = None
        self._sender, self._notice = sender, notice
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Add a worker."""
        self._tasks.append(asyncio.create_task(self._watched(work)))

    def interrupt(self) -> None:
        """The first time, wait for what is under way, for a while; the second time end at once."""
        if self.interrupted:
            self._cancel(self._tasks)
            return
        self.interrupted = True
        if self._sender.asking:
            count = len(self._sender.asking)
            self._notice(f"waiting up to {GRACE:.0f} s for {count} answers under way; Ctrl-C again ends at once")
        self._wind_down()

    async def finish(self) -> None:
        """Wait for all workers."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            self.failure = self.failure or error
            self._wind_down()

    def _wind_down(self) -> None:
        self._sender.stopping = True
        self._cancel([task for task in self._tasks if task not in self._sender.asking])
        asyncio.get_running_loop().call_later(GRACE, self._cancel, self._tasks)

    @staticmethod
    def _cancel(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def interruptible(sender: Sender, notice: Callable[[str], None]) -> AsyncIterator[Crew]:
    """Runs workers to their end; Ctrl-C is taken care of in the meantime.

    Raises:
        KeyboardInterrupt: the user interrupted.
        Exception: the first error of a worker.
    """
    crew = Crew(sender, notice)
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, crew.interrupt)
        handled = True
    except (NotImplementedError, ValueError, RuntimeError):  # not on this system, or not in the main thread
        handled = False
    try:
        yield crew
        await crew.finish()
    finally:
        if handled:
            loop.remove_signal_handler(signal.SIGINT)
    if crew.interrupted:
        raise KeyboardInterrupt
    if crew.failure:
        raise crew.failure
