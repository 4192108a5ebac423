"""The command tune. torch and Optuna are imported inside the command, not by this module."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import CacheOption, DebugOption, reported
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo, print_table
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


def tune(
    tries: Annotated[int, typer.Option(help="Tries in all, the settings as given among them.", min=1)] = 10,
    out: Annotated[Path | None, typer.Option(help="The folder of the tries. [runs/tune-METHOD-DATASET]")] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LOW:HIGH[:log]", help="What a setting may be, or KEY=A,B,C; may be repeated."),
    ] = None,
    bank: BankOption = None,
    dataset: DatasetOption = None,
    data_root: DataRootOption = None,
    partition: PartitionOption = None,
    skip_unreadable: SkipOption = False,
    method: MethodOption = None,
    backbone: ModelOption = None,
    pretrained: PretrainedOption = None,
    rounds: Annotated[int | None, typer.Option(help="Federated rounds of each try. [from the data]", min=1)] = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    preset: PresetOption = None,
    config: ConfigOption = None,
    assignments: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say space and expected time, and train nothing.")] = False,
    cache_dir: CacheOption = None,
    no_feature_cache: StreamOption = False,
    debug: DebugOption = False,
) -> None:
    """Choose a method's settings by validation mAP; the test images are not used.

    The same command goes on with an interrupted one; started several times, it shares the tries.

    Example:  fedmpt tune --method coop --tries 10
    """
    with reported(debug):
        with collector_paused():
            from trainer.options import Options
            from trainer.resolving import named_settings, parse_assignment, resolve
            from trainer.tuning.plan import expectations
            from trainer.tuning.results import tries_table, write_results
            from trainer.tuning.space import parse_space
            from trainer.tuning.tuning import tune as search

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
        settings = resolve(config or local_file(), preset, overrides)
        chosen, options = parse_space(space or [], settings), Options(cache_dir)
        prepared = options.prepare(settings, bank)
        if dry_run:
            for line in expectations(settings, prepared, chosen, tries):
                echo(line)
            return
        folder = out or Path("runs") / f"tune-{settings.method.name}-{settings.data.dataset}"
        found = search(
            settings,
            bank,
            tries,
            folder,
            options,
            chosen,
            prepared,
            lambda done: echo(f"try {done.number} of {tries}: {done.summary()}", err=True),
        )
        best = write_results(found, settings, prepared)
        print_table(tries_table(found))
        words = ["fedmpt", "train", "--config", str(best), *(("--bank", str(bank)) if bank else ())]
        echo(f"next: {shlex.join(words)}", err=True)
