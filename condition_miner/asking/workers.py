"""A pool of workers that ends early without losing answers: requests in flight may finish, no new ones are sent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from condition_miner.asking.sending import Sender

GRACE_SECONDS = 10.0
"""Seconds that requests in flight have to finish after Ctrl-C or a failure of the run."""


class WorkerPool:
    """Tasks that send requests through a Sender.

    Attributes:
        interrupted: whether the user pressed Ctrl-C.
        failure: the first error of a worker, which ends the run; None if there was none.
    """

    def __init__(self, sender: Sender, notice: Callable[[str], None]) -> None:
        self.interrupted = False
        self.failure: BaseException | None = None
        self._sender, self._notice = sender, notice
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a worker; its coroutine is made when it runs, since it may be cancelled before."""
        self._tasks.append(asyncio.create_task(self._watched(work)))

    def interrupt(self) -> None:
        """Handle Ctrl-C: the first one leaves requests in flight the grace period, the second one cancels them."""
        if self.interrupted:
            self._cancel(self._tasks)
            return
        self.interrupted = True
        if self._sender.in_flight:
            count = len(self._sender.in_flight)
            self._notice(
                f"waiting up to {GRACE_SECONDS:.0f} s for {count} answers under way; Ctrl-C again ends at once"
            )
        self._stop_sending()

    async def finish(self) -> None:
        """Wait until all workers have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watched(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as error:
            self.failure = self.failure or error
            self._stop_sending()

    def _stop_sending(self) -> None:
        self._sender.stopping = True
        self._cancel([task for task in self._tasks if task not in self._sender.in_flight])
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cancel, self._tasks)

    @staticmethod
    def _cancel(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def interruptible(sender: Sender, notice: Callable[[str], None]) -> AsyncIterator[WorkerPool]:
    """A worker pool whose workers have ended when the context exits. Handles Ctrl-C meanwhile.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
        Exception: the first error of a worker.
    """
    workers = WorkerPool(sender, notice)
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, workers.interrupt)
        handled = True
    except (NotImplementedError, ValueError, RuntimeError):  # unsupported on this system, or not in the main thread
        handled = False
    try:
        yield workers
        await workers.finish()
    finally:
        if handled:
            loop.remove_signal_handler(signal.SIGINT)
    if workers.interrupted:
        raise KeyboardInterrupt
    if workers.failure:
        raise workers.failure
