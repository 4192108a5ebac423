"""The commands evaluate, compare and report. torch is imported inside the commands, not by this module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import CacheOption, DebugOption, JsonOption, reported
from trainer.commands.common import (
    DeviceOption,
    RunArgument,
    StreamOption,
    console,
    open_run,
)

if TYPE_CHECKING:
    from trainer.run.folder import Run


def evaluate(
    run: RunArgument,
    checkpoint: Annotated[str, typer.Option(help="last, best (on validation) or a number of rounds.")] = "last",
    device: DeviceOption = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a run's checkpoint on the test split; the threshold is chosen on the validation split.

    Example:  fedmpt evaluate runs/fedmpt-scenes-1 --checkpoint best
    """
    with reported(debug):
        opened = open_run(run, device, no_feature_cache, cache_dir)
        result = opened.evaluate(checkpoint)
        if as_json:
            typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        else:
            print_evaluation(opened, result)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Runs' folders.", show_default=False)],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Set evaluated runs side by side.

    Example:  fedmpt compare runs/zero-shot-scenes-1 runs/fedmpt-scenes-1
    """
    with reported(debug):
        from trainer.evaluation.comparison import rows, table
        from trainer.run.folder import Run

        compared = rows([Run.open(folder) for folder in runs])
        if as_json:
            typer.echo(json.dumps(compared, indent=2, ensure_ascii=False))
        else:
            console().print(table(compared))


def report(
    run: RunArgument,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="RUN", help="Other runs to compare with; may be repeated."),
    ] = None,
    device: DeviceOption = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    debug: DebugOption = False,
) -> None:
    """Write report.html into the run's folder: figures, curves, labels, and where labels were found on images.

    Example:  fedmpt report runs/fedmpt-scenes-1 --against runs/zero-shot-scenes-1
    """
    with reported(debug):
        opened = open_run(run, device, no_feature_cache, cache_dir)
        typer.echo(str(opened.report([type(opened).open(other) for other in against or []])))


def print_evaluation(run: Run, result: dict[str, Any]) -> None:
    """Print a run's metrics as a table."""
    from trainer.evaluation.comparison import evaluation_table

    typer.echo(f"{run.folder}: {result['images']} test images, {result['rounds']} rounds")
    console().print(evaluation_table(result))
    test, clients = result["test"], result["clients"]
    if test["labels_without_positives"]:
        typer.echo(
            f"{test['labels_without_positives']} labels have no positive test image and are left out of the means"
        )
    if clients and clients["mean"]:
        typer.echo(
            f"clients on their own {clients['images']} images: mAP {clients['mean']['mAP']:.2f} in the mean, "
            f"{clients['worst']['mAP']:.2f} at the worst of {len(clients['each'])}"
        )
