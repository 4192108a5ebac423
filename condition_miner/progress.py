"""Progress on standard error: one line that is written over on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

import typer

SECONDS_BETWEEN_LINES = 10.0
"""In a log, a stage says how far it is no more often than this."""


def say(text: str) -> None:
    """A line on standard error."""
    typer.echo(f"note: {text}", err=True)


class Lines:
    """How far a stage is, with rate and time left."""

    def __init__(self) -> None:
        self._work = ("", 0)
        self._began = self._said = 0.0
        self._first = 0

    def __call__(self, stage: str, done: int, count: int) -> None:
        """Say how many of a stage's answers are there."""
        now = time.monotonic()
        if (stage, count) != self._work:
            self._work, self._began, self._first, self._said = (stage, count), now, done, now
        elapsed = now - self._began
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        left = f", {60 * rate:.0f} a minute, {(count - done) / rate:.0f} s left" if rate else ""
        line = f"{stage}: {done}/{count} answers{left}"
        if sys.stderr.isatty():
            bar = "█" * round(20 * done / max(1, count))
            typer.echo(f"\r{bar:░<20} {line:<70}" + ("\n" if done == count else ""), nl=False, err=True)
        elif done == count or now - self._said > SECONDS_BETWEEN_LINES:
            typer.echo(line, err=True)
            self._said = now
