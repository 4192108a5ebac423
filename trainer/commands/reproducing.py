"""The command reproduce. torch is imported inside the command, not by this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import CacheOption, DebugOption, reported
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo
from trainer.commands.common import DeviceOption


def reproduce(
    table: Annotated[
        str, typer.Argument(metavar="TABLE", help="table1 … table5, participation, or sites.", show_default=False)
    ],
    dataset: Annotated[str, typer.Option(help="scenes, voc2007, coco2014, nuswide, multiscene or mlrsnet.")] = "scenes",
    data_root: Annotated[Path | None, typer.Option(help="The folder with the data set's files.")] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="A,B", help="Rows of the table, or methods. [all]", show_default=False)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds; on scenes each is another world.", min=1)] = 1,
    points: Annotated[
        str | None, typer.Option(metavar="A,B", help="Per cent: t, mask or participation. [the table's own]")
    ] = None,
    variant: Annotated[
        str, typer.Option(help="clean, released (as the published programs compute) or both.")
    ] = "clean",
    preset: Annotated[
        str | None, typer.Option(help="Optimiser and rounds of a preset. [paper-sgd on published data, none on scenes]")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="An open_clip model. [ViT-B-16-quickgelu; on scenes scenes-tiny]")
    ] = None,
    pretrained: Annotated[str | None, typer.Option(help="Its weights: a tag or a .safetensors file. [openai]")] = None,
    bank: Annotated[Path | None, typer.Option("--bank", help="The prompt bank. [the shipped one]")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting for all runs; may be repeated.")
    ] = None,
    tune: Annotated[
        int | None,
        typer.Option(help="Tune each row first, with so many tries, on images that the table does not have.", min=1),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine, each on one GPU if there are.", min=1)] = 1,
    retry: Annotated[bool, typer.Option("--retry", help="Compute cells that failed once more.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the cells and the expected time; compute nothing.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the results. [runs/reproduce-DATASET]")] = None,
    device: DeviceOption = None,
    cache_dir: CacheOption = None,
    debug: DebugOption = False,
) -> None:
    """Compute a table of the paper: every method, point and seed is a run; a finished one is not run again.

    Start the same command several times, also on other machines with the same folder, and they share the work.

    Example:  fedmpt reproduce table1 --seeds 3 --workers 2
    """
    with reported(debug):
        with collector_paused():
            from trainer.reproducing.running import Wanted, Work, listing, measure_costs, run_grid, write_results
            from trainer.resolving import parse_assignment

        wanted = Wanted(
            table=table,
            dataset=dataset,
            data_root=data_root,
            methods=_words(methods),
            seeds=seeds,
            points=_words(points),
            variant=variant,
            preset=preset,
            backbone=backbone,
            pretrained=pretrained,
            bank=bank,
            given=dict(parse_assignment(text) for text in assignments or []),
            out=out,
        )
        plan, how = wanted.plan(), Work(cache_dir, device, workers, tune or 0)
        if dry_run:
            for line in listing(plan, how):
                echo(line)
            return
        if table == "table5":
            failed = measure_costs(plan, device, lambda text: echo(text, err=True))
        else:
            failed = write_results(run_grid(plan, how, retry, lambda text: echo(text, err=True)), echo)
        if failed:
            raise typer.Exit(1)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
