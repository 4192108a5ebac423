"""Evaluated runs side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import TrainerError
from trainer.run.folder import Run

if TYPE_CHECKING:
    from rich.table import Table

FIGURES = ("mAP", "CP", "CR", "CF1", "OP", "OR", "OF1")
"""The figures in the order in which the field prints them."""


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
            **{key: e["test"][key] for key in (*FIGURES, "threshold")},
            "intervals": e["intervals"],
            "at_0.5": {key: e["test_at_0.5"][key] for key in FIGURES},
            "oracle_thresholds": {key: e["test_oracle_thresholds"][key] for key in FIGURES},
            "clients": {key: e["clients"][key] for key in ("images", "mean", "worst")} if e["clients"] else None,
        }
        for run, e in zip(runs, evaluations, strict=True)
    ]


def table(compared: list[dict[str, Any]]) -> Table:
    """The rows for a terminal, the best of each figure in bold; ± is half the confidence interval of the mAP."""
    from rich.table import Table

    parent = common_folder([row["run"] for row in compared])
    shown = Table(title="test split; threshold of CF1 and OF1 chosen on validation images")
    for heading in ("run", "method", "trained", "mAP", "±", "CF1", "OF1"):
        shown.add_column(heading, justify="left" if heading in ("run", "method") else "right", overflow="fold")
    for row in compared:
        figures = []
        for key in ("mAP", "CF1", "OF1"):
            best = row[key] == max(other[key] for other in compared)
            figures.append(f"[bold]{row[key]:.2f}[/bold]" if best else f"{row[key]:.2f}")
        ends = row["intervals"]["mAP"] if row["intervals"] else None
        figures.insert(1, f"{(ends[1] - ends[0]) / 2:.2f}" if ends else "–")
        shown.add_row(
            str(Path(row["run"]).absolute().relative_to(parent)), row["title"], f"{row['trainable']:,}", *figures
        )
    return shown


def evaluation_table(evaluation: dict[str, Any]) -> Table:
    """One run's figures for a terminal, a row for each way of choosing the threshold or the labels.

    The last row is half of the first one's confidence interval.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    threshold = evaluation["test"]["threshold"]
    ways = {
        f"at {threshold:.2f} (validation)": evaluation["test"],
        "at 0.50": evaluation["test_at_0.5"],
        "oracle (published)": evaluation["test_oracle_thresholds"],
        "seen labels": evaluation.get("test_seen"),
        "unseen labels": evaluation.get("test_unseen"),
    }
    shown = Table(box=SIMPLE, pad_edge=False)
    for heading in ("", *FIGURES):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, values in ways.items():
        if values:
            shown.add_row(name, *(f"{values[key]:.2f}" for key in FIGURES))
    ends = evaluation["intervals"]
    if ends:
        halves = (f"±{(ends[key][1] - ends[key][0]) / 2:.2f}" for key in FIGURES)
        shown.add_row(f"{ends['level']:.0%} interval", *halves)
    return shown


def common_folder(runs: list[str]) -> Path:
    """The deepest folder that holds all the run folders, so that a table need not repeat it in each line."""
    return Path(os.path.commonpath([Path(run).absolute().parent for run in runs]))
