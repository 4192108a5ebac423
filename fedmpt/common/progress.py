"""Progress on standard error: one line that is written over on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

import typer

SECONDS_BETWEEN_LINES = 10.0
"""In a log, a long step says how far it is no more often than this."""


def say(text: str) -> None:
    """A line on standard error."""
    typer.echo(f"note: {text}", err=True)


class CountLines:
    """How far counted work is, with rate and time left. Another step, or another count, begins anew.

    Args:
        what: is counted, "images" for instance.
        per_minute: whether the rate is told per minute, for slow work; else per second.
    """

    def __init__(self, what: str = "images", per_minute: bool = False) -> None:
        self._what, self._per_minute = what, per_minute
        self._work = ("", 0)
        self._began = self._said = 0.0
        self._first = 0

    def __call__(self, step: str, done: int, count: int) -> None:
        """Say how much of a step is done, unless it was said a moment ago."""
        now = time.monotonic()
        if (step, count) != self._work:
            self._work, self._began, self._first, self._said = (step, count), now, done, now
        elapsed = now - self._began
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        line = f"{step}: {done}/{count} {self._what}{self._left(rate, count - done)}"
        if sys.stderr.isatty():
            bar = "█" * round(20 * done / max(1, count))
            typer.echo(f"\r{bar:░<20} {line:<70}" + ("\n" if done == count else ""), nl=False, err=True)
        elif done == count or now - self._said > SECONDS_BETWEEN_LINES:
            typer.echo(line, err=True)
            self._said = now

    def _left(self, rate: float, missing: int) -> str:
        if not rate:
            return ""
        told = f"{60 * rate:.0f} a minute" if self._per_minute else f"{rate:.0f} {self._what}/s"
        return f", {told}, {missing / rate:.0f} s left"
