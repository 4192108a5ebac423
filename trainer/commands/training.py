"""The command train. torch is imported inside the command, not by this module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import CacheOption, DebugOption, reported
from fedmpt.common.files import expanded
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo
from trainer.commands.common import BankOption, DeviceOption, StreamOption, prepare_run, read_bank, reopened
from trainer.commands.evaluation import print_evaluation

if TYPE_CHECKING:
    from trainer.methods.base import Method
    from trainer.preparing import Prepared
    from trainer.run.folder import Run
    from trainer.run_config import RunConfig


def train(
    bank: BankOption = None,
    dataset: Annotated[str | None, typer.Option(help="The data set: see fedmpt datasets list. [scenes]")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="The folder with the data set's files (fedmpt datasets check).")
    ] = None,
    partition: Annotated[
        Path | None, typer.Option(help="Who owns which image: a file of fedmpt datasets partition --out, or of a run.")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that are missing or can't be read.")
    ] = False,
    method: Annotated[str | None, typer.Option(help="fedmpt, fedmpt-released, coop or zero-shot. [fedmpt]")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="scenes-tiny, or an open_clip model: ViT-B-16-quickgelu … [scenes-tiny]"),
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Weights of an open_clip model: a tag (openai) or a .safetensors file.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Federated rounds; with --resume, in all. [from the data]", min=0)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Sets all seeds (data, initial, clients, batches) at once.")] = None,
    device: DeviceOption = None,
    preset: Annotated[str | None, typer.Option(help="A named set of settings: paper, or released.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings from a TOML or JSON file. [fedmpt.toml, if it is here]")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. method.rank=16; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder. [runs/METHOD-DATASET-N]")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with an interrupted run, or give a finished one more --rounds."),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Of the resumed run: last, best or a number of rounds; later ones are run again. [last]"),
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
            from trainer.advice import advice
            from trainer.commands.plans import expectations
            from trainer.data.partition import save_partition
            from trainer.errors import TrainerError
            from trainer.resolving import parse_assignment, resolve
            from trainer.run.folder import Run

        named = {
            "data.dataset": dataset,
            "data.data_root": str(expanded(data_root).resolve()) if data_root else None,
            "data.partition.file": str(expanded(partition).resolve()) if partition else None,
            "data.skip_unreadable": skip_unreadable or None,
            "method.name": method,
            "backbone.name": backbone,
            "backbone.pretrained": pretrained,
            "federation.rounds": rounds,
            "device": device,
            "compute.feature_cache": False if no_feature_cache else None,
        }
        overrides = {key: value for key, value in named.items() if value is not None}
        if seed is not None:
            overrides |= dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches"), seed)
        overrides |= dict(parse_assignment(text) for text in assignments or [])
        if resume is not None:
            _only_where_things_are(overrides, config, preset, bank, out)
            run, prepared = reopened(resume, cache_dir, data_root=data_root, backbone=pretrained)
            if rounds is not None and not dry_run:
                prepared = _extended(run, prepared, rounds, checkpoint or "last")
        else:
            if checkpoint is not None:
                raise TrainerError("--checkpoint says where --resume goes on; a new run begins at round 0")
            settings = resolve(config or _local_file(), preset, overrides)
            # Errors are found here, before the run's folder is created.
            prepared = prepare_run(settings, read_bank(bank), cache_dir)
            for note in advice(prepared.dataset, prepared.method.clip):
                echo(f"note: {note}", err=True)
        if dry_run:
            for line in expectations(prepared):
                echo(line)
            return
        if resume is None:
            # The prepared settings have numbers in place of "auto".
            run = Run.create(out or _free_folder(settings), prepared.config, bank)
            save_partition(prepared.dataset, settings.data.partition, run.partition)
        _train_and_evaluate(run, prepared, checkpoint or "last")


CHANGED_BY_RESUME = {"data.data_root", "backbone.pretrained", "federation.rounds"}
"""The settings that a resumed run may be given anew."""


def _extended(run: Run, prepared: Prepared, rounds: int, checkpoint: str) -> Prepared:
    """The run with another number of rounds, which is recorded in its folder."""
    from dataclasses import replace

    from trainer.run.extending import extend

    for note in extend(run, rounds, checkpoint):
        echo(f"note: {note}", err=True)
    return replace(prepared, config=prepared.config.model_copy(update={"federation": run.config().federation}))


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


def _train_and_evaluate(run: Run, prepared: Prepared, checkpoint: str) -> None:
    from trainer.commands.plans import plan_line
    from trainer.commands.progress import print_round
    from trainer.evaluation.measuring import evaluate as measure
    from trainer.train import train as run_rounds

    echo(f"run {run.folder}")
    described = prepared.method.describe()
    if "conditions" in described:
        echo(f"conditions ({described['conditions_are']}): {', '.join(described['conditions'])}")
    echo(f"{prepared.config.method.name}: {_sizes(prepared.method, described['trainable'])}")
    echo(plan_line(prepared))
    run_rounds(run, prepared, checkpoint, print_round)
    print_evaluation(run, measure(run, prepared))


def _sizes(method: Method, trainable: int) -> str:
    personal = sum(part.numel() for part in method.personal_parts().values())
    if not personal:
        return f"{trainable:,} trained and exchanged parameters"
    return f"{trainable:,} trained parameters; {personal:,} numbers stay with each client"


def _local_file() -> Path | None:
    path = Path("fedmpt.toml")
    return path if path.is_file() else None


def _free_folder(settings: RunConfig) -> Path:
    stem = f"{settings.method.name}-{settings.data.dataset}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return folder
