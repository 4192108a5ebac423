"""Progress of a run: callbacks, and those that print a bar on a terminal, plain lines in a log or a notebook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fedmpt.common.progress import ProgressBar, counted
from fedmpt.common.terminal import echo
from trainer.evaluation.comparison import format_figure
from trainer.evaluation.metrics import Metrics
from trainer.federation.rounds import RoundRecord
from trainer.methods.base import Method
from trainer.plans import plan_line
from trainer.preparing import Prepared, Reporter
from trainer.run.folder import Run
from trainer.train import AfterRound


@dataclass(frozen=True)
class Progress:
    """Callbacks during a run; the defaults do nothing.

    Attributes:
        reporter: the computation of features, image checks, and notes.
        started: called with the run and what was prepared, before the first round.
        after_round: called after each round, see `trainer.train.AfterRound`.
    """

    reporter: Reporter = field(default_factory=Reporter)
    started: Callable[[Run, Prepared], None] = lambda run, prepared: None
    after_round: AfterRound = lambda record, validation, rounds: None


def printed() -> Progress:
    """Prints to standard error, except for what was started."""
    return Progress(reporter(), print_start, print_round)


def reporter() -> Reporter:
    """Prints to standard error, so that standard output contains only the command's result."""
    lines = ProgressBar()
    return Reporter(
        features=lambda split, done, count: lines(f"features of {split}", done, count),
        say=lambda text: echo(text, err=True),
        images=counted("checked"),
    )


def print_start(run: Run, prepared: Prepared) -> None:
    """Print the run's folder, its conditions, the number of trained parameters, and its plan."""
    echo(f"run {run.folder}")
    described = prepared.method.describe()
    if "conditions" in described:
        echo(f"conditions ({described['conditions_are']}): {', '.join(described['conditions'])}")
    echo(f"{prepared.config.method.name}: {_sizes(prepared.method, described['trainable'])}")
    echo(plan_line(prepared))


def print_round(record: RoundRecord, validation: Metrics, rounds: int) -> None:
    """Print a finished round: number of clients, loss, validation mAP; a line for each refused reply."""
    echo(
        f"round {record.round + 1:>3}/{rounds}  clients {len(record.clients)}  loss {record.loss:.4f}  "
        f"validation mAP {format_figure(validation.mAP)}",
        err=True,
    )
    for refusal in record.refused:
        echo(f"          refused: {refusal}", err=True)


def _sizes(method: Method, trainable: int) -> str:
    personal = sum(part.numel() for part in method.personal_parts().values())
    if not personal:
        return f"{trainable:,} trained and exchanged parameters"
    return f"{trainable:,} trained parameters; {personal:,} numbers stay with each client"
