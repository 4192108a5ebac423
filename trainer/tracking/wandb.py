"""Weights & Biases. WANDB_MODE=offline keeps everything in the run's folder; see its documentation for the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import wandb

from trainer.run.folder import Run
from trainer.tracking.base import PROJECT, Scalars, numbers


class WandbTracker:
    """A run of Weights & Biases."""

    def __init__(self, run: Any) -> None:
        self.run, self.id = run, str(run.id)
        # Its own steps never go back, but a resumed run does.
        run.define_metric("rounds")
        run.define_metric("*", step_metric="rounds")

    def log_round(self, rounds: int, values: Scalars) -> None:
        """Metrics over the number of rounds."""
        self.run.log({**numbers(values), "rounds": rounds})

    def log_figures(self, values: Scalars) -> None:
        """The run's summary."""
        self.run.summary.update(numbers(values))

    def log_file(self, path: Path) -> None:
        """The report, shown as a page."""
        self.run.log({path.stem: wandb.Html(str(path))})

    def close(self, failed: bool) -> None:
        """Upload what is left."""
        self.run.finish(exit_code=int(failed))


def open_tracker(run: Run, known: str | None, settings: Scalars) -> WandbTracker:
    """Create the run, or go on with a known one; in WANDB_PROJECT, else the project "fedmpt"."""
    return WandbTracker(
        wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=known,
            resume="allow" if known else None,
            config=settings,
            dir=str(run.folder),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, save_code=False),
        )
    )
