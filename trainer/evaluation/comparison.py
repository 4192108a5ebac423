"""Comparison of evaluated runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmpt.common.errors import FedmptError
from fedmpt.common.terminal import cell
from trainer.errors import TrainerError
from trainer.run.folder import Run
from trainer.run.metric_records import FIGURES

if TYPE_CHECKING:
    from rich.table import Table


HEADINGS = {name: name for name in FIGURES} | {"CF1_harmonic": "CF1h"}
"""The metrics in table headings. CF1h: the harmonic mean of CP and CR."""


def format_figure(value: float | None, sign: str = "") -> str:
    """A figure in per cent with two decimals; "–" if it has no value."""
    return "–" if value is None else f"{sign}{value:.2f}"


def best_figure(compared: list[dict[str, Any]], key: str) -> float | None:
    """The highest value of a metric over the runs; None if no run has one."""
    return max((row[key] for row in compared if row[key] is not None), default=None)


def usable(folders: list[Path]) -> tuple[list[Run], list[FedmptError]]:
    """The evaluated runs whose files can be read, and what is wrong with the others.

    Raises:
        FedmptError: none of the runs can be used.
    """
    runs: list[Run] = []
    problems: list[FedmptError] = []
    for folder in folders:
        try:
            run = Run.open(folder)
            rows([run])
            runs.append(run)
        except FedmptError as error:
            problems.append(error)
    if not runs and problems:
        raise problems[0]
    return runs, problems


def rows(runs: list[Run]) -> list[dict[str, Any]]:
    """One row per run: name, method, test metrics and number of trained parameters.

    Raises:
        TrainerError: a run is not evaluated, or the runs were evaluated on different images.
    """
    evaluations = [run.evaluation() for run in runs]
    for run, evaluation in zip(runs, evaluations, strict=True):
        if evaluation["dataset_fingerprint"] != run.recorded_identity()["data"]["fingerprint"]:
            raise TrainerError(f"{run.folder}: evaluated on other data than it was trained on; evaluate it again")
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
            "spurious": e["spurious_activation"]["mean"] if e["spurious_activation"] else None,
            "intervals": e["intervals"],
            "at_0.5": {key: e["test_at_0.5"][key] for key in FIGURES},
            "oracle_thresholds": {key: e["test_oracle_thresholds"][key] for key in FIGURES},
            "clients": {key: e["clients"][key] for key in ("images", "mean", "worst")} if e["clients"] else None,
            "yardsticks": yardstick_rows(run),
        }
        for run, e in zip(runs, evaluations, strict=True)
    ]


def yardstick_rows(run: Run) -> list[dict[str, Any]]:
    """The rows of a run's yardsticks; empty if they were not measured."""
    stored = run.yardsticks()
    return list(stored["rows"]) if stored else []


def shared_yardsticks(compared: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The yardsticks of compared runs, each once; the title names the backbone if runs have different ones."""
    several = len({row["backbone"] for row in compared}) > 1
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in compared:
        for measured in row["yardsticks"]:
            own = several and measured["name"] not in ("every-label", "prevalence")
            title = f"{measured['title']}, {row['backbone']}" if own else measured["title"]
            found.setdefault((title, *(measured[key] for key in FIGURES)), {**measured, "title": title})
    return list(found.values())


def table(compared: list[dict[str, Any]]) -> Table:
    """The rows as a terminal table, then the yardsticks; the best values of runs in bold.

    ± is half the width of the mAP's confidence interval; spurious: see `trainer.evaluation.spurious`.
    """
    from rich.table import Table

    parent = common_folder([row["run"] for row in compared])
    shown = Table(title="test split; threshold of CF1 and OF1 chosen on validation images")
    for heading in ("run", "method", "rounds", "trained", "mAP", "±", "CF1", "OF1", "spurious"):
        words = heading in ("run", "method")
        shown.add_column(heading, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in compared:
        figures = []
        for key in ("mAP", "CF1", "OF1"):
            best = row[key] is not None and row[key] == best_figure(compared, key)
            figures.append(cell(format_figure(row[key]), "bold" if best else ""))
        figures.insert(1, cell(half_width(row["intervals"], "mAP")))
        name = str(Path(row["run"]).absolute().relative_to(parent))
        figures.append(cell(format_figure(row["spurious"])))
        shown.add_row(cell(name), cell(row["title"]), str(row["rounds"]), f"{row['trainable']:,}", *figures)
    shown.add_section()
    for row in shared_yardsticks(compared):
        mean, *rest = (format_figure(row[key]) for key in ("mAP", "CF1", "OF1"))
        spurious = format_figure(row["spurious"])
        shown.add_row(cell("yardstick"), cell(row["title"]), "", "", mean, "", *rest, spurious)
    return shown


def figure_records(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """A run's test metrics as flat records, one per choice of threshold or labels.

    Args:
        evaluation: the content of evaluation.json.

    Returns:
        `labels` ("all", "seen" or "unseen"), `threshold` ("validation": chosen on validation images; "0.5"; "oracle":
        the best on the test images for each metric, as published), and the metrics in per cent.
    """
    groups = {
        ("all", "validation"): evaluation["test"],
        ("all", "0.5"): evaluation["test_at_0.5"],
        ("all", "oracle"): evaluation["test_oracle_thresholds"],
        ("seen", "validation"): evaluation.get("test_seen"),
        ("unseen", "validation"): evaluation.get("test_unseen"),
    }
    return [
        {"labels": labels, "threshold": threshold, **{key: values[key] for key in FIGURES}}
        for (labels, threshold), values in groups.items()
        if values
    ]


def evaluation_table(evaluation: dict[str, Any], yardsticks: Sequence[dict[str, Any]] = ()) -> Table:
    """A run's metrics as a terminal table, with one row per choice of threshold or labels.

    Then half the width of the first row's confidence intervals, and one row per yardstick.
    """
    from rich.box import SIMPLE
    from rich.table import Table

    threshold = evaluation["test"]["threshold"]
    names = {"validation": f"at {threshold:.2f} (validation)", "0.5": "at 0.50", "oracle": "oracle (published)"}
    shown = Table(box=SIMPLE, pad_edge=False)
    for heading in ("", *HEADINGS.values()):
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    for record in figure_records(evaluation):
        name = names[record["threshold"]] if record["labels"] == "all" else f"{record['labels']} labels"
        shown.add_row(name, *(format_figure(record[key]) for key in FIGURES))
    ends = evaluation["intervals"]
    if ends:
        shown.add_row(f"{ends['level']:.0%} interval", *(half_width(ends, key, "±") for key in FIGURES))
    for row in yardsticks:
        shown.add_row(row["title"], *(format_figure(row[key]) for key in FIGURES), style="dim")
    return shown


def spurious_sentence(evaluation: dict[str, Any], yardsticks: Sequence[dict[str, Any]] = ()) -> str | None:
    """The mean spurious activation in words, beside that of zero-shot CLIP; None if no site ties labels together."""
    found = evaluation["spurious_activation"]
    if not found:
        return None
    if found["mean"] is None:
        return f"spurious activation: none of {found['pairs']} label pairs that sites tie together has test images"
    ends = f" ({found['interval'][0]:+.1f} to {found['interval'][1]:+.1f})" if found["interval"] else ""
    reference = [row["spurious"] for row in yardsticks if row["name"] == "zero-shot" and row["spurious"] is not None]
    beside = f"; zero-shot CLIP: {reference[0]:+.1f}" if reference else ""
    return (
        f"spurious activation: {found['mean']:+.1f} points{ends} in the mean over {found['measured']} label pairs that "
        f"sites tie together{beside}; true association on these images: {found['true_association']:+.1f}"
    )


def sites_sentence(sites: dict[str, Any] | None) -> str | None:
    """What the sites of a federation reach on their own test images, in words; None if none told anything.

    Args:
        sites: the content of sites.json.
    """
    if sites is None or sites["together"] is None:
        return None
    told = [row for row in sites["each"] if row["figures"]]
    images = sum(row["images"] for row in told)
    figures = ", ".join(
        f"{name} {sites['together'][name]:.2f}" for name in ("mAP", "CF1", "OF1") if sites["together"][name] is not None
    )
    missing = [str(row["client"]) for row in sites["each"] if not row["answered"]]
    silent = f"; no answer from client {', '.join(missing)}" if missing else ""
    by = ", each with its own model" if sites.get("own_models") else ""
    return (
        f"{len(told)} of {len(sites['each'])} sites on {images:,} test images of their own{by}, together: "
        f"{figures}{silent}"
    )


def half_width(intervals: dict[str, Any] | None, key: str, sign: str = "") -> str:
    """Half the width of a metric's confidence interval as text; – if there is none."""
    ends = intervals[key] if intervals else None
    return f"{sign}{(ends[1] - ends[0]) / 2:.2f}" if ends else "–"


def common_folder(runs: list[str]) -> Path:
    """The deepest common parent of the run folders, which a table need not repeat in each line."""
    return Path(os.path.commonpath([Path(run).absolute().parent for run in runs]))
