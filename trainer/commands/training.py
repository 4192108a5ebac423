"""The command train. torch is imported inside the command, not by this module."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import CacheOption, DebugOption, reported
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo
from trainer.commands.choosing import (
    ConfigOption,
    DataRootOption,
    DatasetOption,
    MethodOption,
    ModelOption,
    PartitionOption,
    PresetOption,
    PretrainedOption,
    SeedOption,
    SetOption,
    SkipOption,
    local_file,
)
from trainer.commands.common import BankOption, DeviceOption, StreamOption
from trainer.commands.evaluation import print_evaluation

if TYPE_CHECKING:
    from trainer.session import Run


class Engine(StrEnum):
    """What has the clients train."""

    LOCAL = "local"
    FLOWER = "flower"


def train(
    bank: BankOption = None,
    dataset: DatasetOption = None,
    data_root: DataRootOption = None,
    partition: PartitionOption = None,
    skip_unreadable: SkipOption = False,
    method: MethodOption = None,
    backbone: ModelOption = None,
    pretrained: PretrainedOption = None,
    rounds: Annotated[
        int | None, typer.Option(help="Federated rounds; with --resume, in all. [from the data]", min=0)
    ] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    preset: PresetOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. [runs/METHOD-DATASET-N]")] = None,
    engine: Annotated[
        Engine, typer.Option(help="local: one process; flower: Flower's simulation (pip install 'fedmpt[flower]').")
    ] = Engine.LOCAL,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with an interrupted run, or give a finished one more --rounds."),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Of the resumed run: last, best or a number of rounds; later ones are run again. [last]"),
    ] = None,
    track: Annotated[
        list[str] | None,
        typer.Option(help="An experiment tracker besides TensorBoard: mlflow or wandb; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say steps and expected time, and train nothing.")] = False,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a method over sites that keep their images, and measure it on the test split.

    Example:  fedmpt train --bank bank.json --set federation.rounds=20
    """
    with reported(debug):
        with collector_paused():
            from trainer.errors import TrainerError
            from trainer.flower.installed import require_flower
            from trainer.plans import expectations
            from trainer.resolving import named_settings, parse_assignment, resolve
            from trainer.session import Options, Run, begin, prepare_new
            from trainer.tracking.base import check_names

        named = {
            "dataset": dataset,
            "data_root": data_root,
            "partition": partition,
            "skip_unreadable": skip_unreadable or None,
            "method": method,
            "backbone": backbone,
            "pretrained": pretrained,
            "rounds": rounds,
            "seed": seed,
            "device": device,
            "feature_cache": False if no_feature_cache else None,
        }
        overrides = named_settings(named) | dict(parse_assignment(text) for text in assignments or [])
        check_names(track or [])
        if engine is Engine.FLOWER:
            require_flower()
        if resume is not None:
            _only_where_things_are(overrides, config, preset, bank, out)
            run = Run.open(resume, Options(cache_dir, data_root=data_root, backbone=pretrained))
            if rounds is not None and not dry_run:
                for note in run.extend(rounds, checkpoint or "last"):
                    echo(f"note: {note}", err=True)
        elif checkpoint is not None:
            raise TrainerError("--checkpoint says where --resume goes on; a new run begins at round 0")
        else:
            settings = resolve(config or local_file(), preset, overrides)
            if dry_run:
                _say_plan(expectations(prepare_new(settings, bank, Options(cache_dir))))
                return
            run = begin(settings, bank, out, Options(cache_dir))
        if dry_run:
            _say_plan(expectations(run.planned(rounds)))
            return
        print_evaluation(run, _run(run, engine, checkpoint or "last", track or ()))
        where = shlex.quote(str(run.folder))
        echo(f"next: fedmpt report {where}   fedmpt try {where}   fedmpt predict {where} IMAGES", err=True)


def _run(run: Run, engine: Engine, checkpoint: str, track: Iterable[str]) -> dict[str, Any]:
    if engine is Engine.LOCAL:
        return run.resume(checkpoint, track)
    from trainer.flower.simulation import resume_in_simulation

    return resume_in_simulation(run, checkpoint, track)


def _say_plan(lines: Iterable[str]) -> None:
    for line in lines:
        echo(line)


CHANGED_BY_RESUME = {"data.data_root", "backbone.pretrained", "federation.rounds"}
"""The settings that a resumed run may be given anew."""


def _only_where_things_are(
    overrides: dict[str, Any], config: Path | None, preset: str | None, bank: Path | None, out: Path | None
) -> None:
    """With --resume, options may say where data and weights are now, but not change what the run is."""
    from trainer.errors import TrainerError

    if config or preset or bank or out or overrides.keys() - CHANGED_BY_RESUME:
        raise TrainerError(
            "--resume goes on with the run's own settings and bank; leave out all other options but --rounds, "
            "and --data-root and --pretrained, which say where its files are now"
        )
