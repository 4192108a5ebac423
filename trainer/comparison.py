"""Evaluated runs side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import TrainerError
from trainer.runs import Run

if TYPE_CHECKING:
    from rich.table import Table


def rows(runs: list[Run]) -> list[dict[str, Any]]:
    """One row a run: its name, method, figures on the test split and trained parameters.

    Raises:
        TrainerError: where a run is not evaluated, or the runs were measured on different images.
    """
    evaluations = [run.evaluation() for run in runs]
    protocols = {(e["dataset"], e["dataset_fingerprint"]) for e in evaluations}
    if len(protocols) > 1:
        listed = ", ".join(f"{run.name} ({e['dataset']})" for run, e in zip(runs, evaluations, strict=True))
        raise TrainerError(f"these runs were measured on different test images and can't be compared: {listed}")
    return [
        {
            "run": str(run.folder),
            "method": e["method"],
            "title": e["description"]["title"],
            "backbone": e["backbone"],
            "preprocessing": e["preprocessing"],
            "rounds": e["rounds"],
            "trainable": e["description"]["trainable"],
            **{key: e["test"][key] for key in ("mAP", "CF1", "OF1", "threshold")},
        }
        for run, e in zip(runs, evaluations, strict=True)
    ]


def table(compared: list[dict[str, Any]]) -> Table:
    """The rows for a terminal, the best of each figure in bold."""
    from rich.table import Table

    parent = common_folder([row["run"] for row in compared])
    shown = Table(title="test split; threshold of CF1 and OF1 chosen on validation images")
    for heading in ("run", "method", "trained", "mAP", "CF1", "OF1"):
        shown.add_column(heading, justify="left" if heading in ("run", "method") else "right", overflow="fold")
    for row in compared:
        figures = []
        for key in ("mAP", "CF1", "OF1"):
            best = row[key] == max(other[key] for other in compared)
            figures.append(f"[bold]{row[key]:.2f}[/bold]" if best else f"{row[key]:.2f}")
        shown.add_row(
            str(Path(row["run"]).absolute().relative_to(parent)), row["title"], f"{row['trainable']:,}", *figures
        )
    return shown


def common_folder(runs: list[str]) -> Path:
    """The deepest folder that holds all the run folders, so that a table need not repeat it in each line."""
    return Path(os.path.commonpath([Path(run).absolute().parent for run in runs]))
