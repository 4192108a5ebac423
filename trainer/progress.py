"""Progress for people: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

import typer

from trainer.federation.rounds import RoundRecord
from trainer.metrics import Figures
from trainer.training import Reporter

SECONDS_BETWEEN_LINES = 10.0
"""In a log, a long step says how far it is no more often than this."""


def reporter() -> Reporter:
    """Prints to standard error, so that what a command answers stays alone on standard output."""
    return Reporter(features=_FeatureLines(), round=_round)


def _round(record: RoundRecord, validation: Figures, rounds: int) -> None:
    typer.echo(
        f"round {record.round + 1:>3}/{rounds}  clients {len(record.clients)}  loss {record.loss:.4f}  "
        f"validation mAP {validation.mAP:.2f}",
        err=True,
    )


class _FeatureLines:
    """The feature cache's progress with rate and time left."""

    def __init__(self) -> None:
        self.split = ""
        self.began = self.said = 0.0
        self.first = 0

    def __call__(self, split: str, done: int, count: int) -> None:
        now = time.monotonic()
        if split != self.split:
            self.split, self.began, self.first, self.said = split, now, done, 0.0
        elapsed = now - self.began
        rate = (done - self.first) / elapsed if elapsed > 0 and done > self.first else 0.0
        left = f", {rate:.0f} images/s, {(count - done) / rate:.0f} s left" if rate else ""
        line = f"features of {split}: {done}/{count}{left}"
        if sys.stderr.isatty():
            typer.echo(f"\r{line:<78}" + ("\n" if done == count else ""), nl=False, err=True)
        elif done == count or now - self.said > SECONDS_BETWEEN_LINES:
            typer.echo(line, err=True)
            self.said = now
