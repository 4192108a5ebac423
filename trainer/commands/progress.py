"""Progress for people: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from trainer.evaluation.metrics import Figures
    from trainer.federation.rounds import RoundRecord
    from trainer.preparing import Reporter

SECONDS_BETWEEN_LINES = 10.0
"""In a log, a long step says how far it is no more often than this."""


def reporter() -> Reporter:
    """Prints to standard error, so that what a command answers stays alone on standard output."""
    from trainer.preparing import Reporter

    lines = CountLines()
    return Reporter(
        features=lambda split, done, count: lines(f"features of {split}", done, count),
        say=lambda text: typer.echo(text, err=True),
        images=image_lines(),
    )


def image_lines() -> Callable[[int, int], None]:
    """How many images were checked."""
    lines = CountLines()
    return lambda done, count: lines("images checked", done, count)


def print_round(record: RoundRecord, validation: Figures, rounds: int) -> None:
    """A finished round: clients, loss, and the mAP on the validation split."""
    typer.echo(
        f"round {record.round + 1:>3}/{rounds}  clients {len(record.clients)}  loss {record.loss:.4f}  "
        f"validation mAP {validation.mAP:.2f}",
        err=True,
    )


class CountLines:
    """How far work on many images is, with rate and time left."""

    def __init__(self) -> None:
        self.what = ""
        self.began = self.said = 0.0
        self.first = 0

    def __call__(self, what: str, done: int, count: int) -> None:
        """Say it, unless it was said a moment ago; another `what` begins anew."""
        now = time.monotonic()
        if what != self.what:
            self.what, self.began, self.first, self.said = what, now, done, 0.0
        elapsed = now - self.began
        rate = (done - self.first) / elapsed if elapsed > 0 and done > self.first else 0.0
        left = f", {rate:.0f} images/s, {(count - done) / rate:.0f} s left" if rate else ""
        line = f"{what}: {done}/{count}{left}"
        if sys.stderr.isatty():
            typer.echo(f"\r{line:<78}" + ("\n" if done == count else ""), nl=False, err=True)
        elif done == count or now - self.said > SECONDS_BETWEEN_LINES:
            typer.echo(line, err=True)
            self.said = now
