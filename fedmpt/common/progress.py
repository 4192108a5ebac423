"""Progress on standard error: a progress bar on a terminal, occasional lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import typer

from fedmpt.common.terminal import echo

SECONDS_BETWEEN_LINES = 10.0
"""The shortest interval between two lines in a log."""


def print_note(text: str) -> None:
    """Print a note for the user on standard error."""
    echo(f"note: {text}", err=True)


class ProgressBar:
    """Prints the progress of counted work, with rate and time left. A new step or total starts a new bar.

    Args:
        what: name of the counted items, "images" for instance.
        per_minute: whether to print the rate per minute, for slow work, instead of per second.
    """

    def __init__(self, what: str = "images", per_minute: bool = False) -> None:
        self._what, self._per_minute = what, per_minute
        self._work = ("", 0)
        self._began = self._printed = 0.0
        self._first = 0

    def __call__(self, step: str, done: int, count: int) -> None:
        """Report that `done` of `count` items of a step are finished."""
        now = time.monotonic()
        if (step, count) != self._work:
            self._work, self._began, self._first, self._printed = (step, count), now, done, now
        elapsed = now - self._began
        rate = (done - self._first) / elapsed if elapsed > 0 else 0.0
        line = f"{step}: {done}/{count} {self._what}{self._left(rate, count - done)}"
        if sys.stderr.isatty():
            bar = "█" * round(20 * done / max(1, count))
            typer.echo(f"\r{bar:░<20} {line:<70}" + ("\n" if done == count else ""), nl=False, err=True)
        elif done == count or now - self._printed > SECONDS_BETWEEN_LINES:
            echo(line, err=True)
            self._printed = now

    def _left(self, rate: float, missing: int) -> str:
        if not rate:
            return ""
        rate_text = f"{60 * rate:.0f} a minute" if self._per_minute else f"{rate:.0f} {self._what}/s"
        return f", {rate_text}, {missing / rate:.0f} s left"


def counted(step: str) -> Callable[[int, int], None]:
    """The progress of a single step of work, as a function of what is done and the total."""
    lines = ProgressBar()
    return lambda done, count: lines(step, done, count)


class Waiting:
    """Shows for how long something of unknown length goes on: a line that changes on a terminal, some lines in a log.

    Args:
        what: is going on.
    """

    def __init__(self, what: str) -> None:
        self._what, self._began = what, time.monotonic()
        self._printed = self._began - SECONDS_BETWEEN_LINES

    def __call__(self, said: str = "") -> None:
        """It still goes on; `said` is the last that was heard of it."""
        now = time.monotonic()
        line = f"{self._what}: {now - self._began:.0f} s" + (f"  {said}" if said else "")
        if sys.stderr.isatty():
            typer.echo(f"\r{line[:100]:<100}", nl=False, err=True)
        elif now - self._printed >= SECONDS_BETWEEN_LINES:
            echo(line, err=True)
            self._printed = now

    def end(self, said: str = "") -> None:
        """It has ended, with these words."""
        if sys.stderr.isatty():
            typer.echo("", err=True)
        if said:
            echo(f"{said} after {time.monotonic() - self._began:.0f} s", err=True)
