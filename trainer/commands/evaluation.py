"""The commands evaluate, compare and report. torch is imported inside the commands, not by this module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import CacheOption, DebugOption, JsonOption, reported
from fedmpt.common.progress import print_note
from fedmpt.common.terminal import echo, json_text, print_table
from trainer.commands.common import (
    BackboneOption,
    DeviceOption,
    MovedDataOption,
    RunArgument,
    StreamOption,
    open_run,
)

if TYPE_CHECKING:
    from trainer.run.folder import Run


def evaluate(
    run: RunArgument,
    checkpoint: Annotated[str, typer.Option(help="last, best (on validation) or a number of rounds.")] = "last",
    device: DeviceOption = None,
    data_root: MovedDataOption = None,
    backbone: BackboneOption = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a run's checkpoint on the test split; the threshold is chosen on the validation split.

    Example:  fedmpt evaluate runs/fedmpt-scenes-1 --checkpoint best
    """
    with reported(debug):
        opened = open_run(run, cache_dir, device, no_feature_cache, data_root, backbone)
        before = opened.evaluated_rounds()
        result = opened.evaluate(checkpoint)
        if before not in (None, result["rounds"]):
            print_note(
                f"compare, report, predict and export now show checkpoint {result['rounds']} of {run}, no longer "
                f"{before}; back: fedmpt evaluate {run} --checkpoint {before}"
            )
        if as_json:
            echo(json_text(result, 2))
        else:
            print_evaluation(opened, result)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Runs' folders.", show_default=False)],
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Set evaluated runs side by side. A run that is damaged or not evaluated is named and left out.

    Example:  fedmpt compare runs/zero-shot-scenes-1 runs/fedmpt-scenes-1
    """
    with reported(debug):
        from trainer.evaluation.comparison import rows, table, usable

        readable, problems = usable(runs)
        for problem in problems:
            echo(f"warning: left out: {problem}", err=True)
        compared = rows(readable)
        if as_json:
            echo(json_text(compared, 2))
        else:
            print_table(table(compared))


def report(
    run: RunArgument,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="RUN", help="Other runs to compare with; may be repeated."),
    ] = None,
    device: DeviceOption = None,
    data_root: MovedDataOption = None,
    backbone: BackboneOption = None,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    debug: DebugOption = False,
) -> None:
    """Write report.html into the run's folder: figures, curves, labels, and where labels were found on images.

    Example:  fedmpt report runs/fedmpt-scenes-1 --against runs/zero-shot-scenes-1
    """
    with reported(debug):
        opened = open_run(run, cache_dir, device, no_feature_cache, data_root, backbone)
        echo(str(opened.report([type(opened).open(other) for other in against or []])))


def print_evaluation(run: Run, result: dict[str, Any]) -> None:
    """Print a run's metrics as a table."""
    from trainer.evaluation.comparison import evaluation_table, sites_sentence, spurious_sentence, yardstick_rows
    from trainer.evaluation.findings import findings

    echo(f"{run.folder}: {result['images']} test images, {result['rounds']} rounds")
    print_table(evaluation_table(result, yardstick_rows(run)))
    test, clients = result["test"], result["clients"]
    if result["intervals"] and "reason" in result["intervals"]:
        echo(result["intervals"]["reason"])
    if test["labels_without_positives"]:
        echo(f"{test['labels_without_positives']} labels have no positive test image and are left out of the means")
    if clients and clients["mean"]:
        echo(
            f"clients on their own {clients['images']} images: mAP {clients['mean']['mAP']:.2f} in the mean, "
            f"{clients['worst']['mAP']:.2f} at the worst of {len(clients['each'])}"
        )
    for sentence in (sites_sentence(run.sites()), spurious_sentence(result, yardstick_rows(run))):
        if sentence:
            echo(sentence)
    for finding in findings(run):
        echo(f"this run: {finding}")
