"""Progress output: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fedmpt.common.progress import ProgressBar
from fedmpt.common.terminal import echo

if TYPE_CHECKING:
    from trainer.evaluation.metrics import Metrics
    from trainer.federation.rounds import RoundRecord
    from trainer.preparing import Reporter


def reporter() -> Reporter:
    """Prints to standard error, so that standard output contains only the command's result."""
    from trainer.preparing import Reporter

    lines = ProgressBar()
    return Reporter(
        features=lambda split, done, count: lines(f"features of {split}", done, count),
        say=lambda text: echo(text, err=True),
        images=image_lines(),
    )


def image_lines() -> Callable[[int, int], None]:
    """Progress of image checks."""
    lines = ProgressBar()
    return lambda done, count: lines("checked", done, count)


def print_round(record: RoundRecord, validation: Metrics, rounds: int) -> None:
    """Print a finished round: number of clients, loss, validation mAP."""
    from trainer.evaluation.comparison import format_figure

    echo(
        f"round {record.round + 1:>3}/{rounds}  clients {len(record.clients)}  loss {record.loss:.4f}  "
        f"validation mAP {format_figure(validation.mAP)}",
        err=True,
    )
