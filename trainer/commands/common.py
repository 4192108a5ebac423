"""Common parts of the trainer's commands: options, loading the bank, preparing a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmpt.common.console import cache_folder
from fedmpt.common.files import expanded
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo

if TYPE_CHECKING:
    from prompt_bank.schema import Bank
    from trainer.backbone.load import RecordedWeights
    from trainer.preparing import Prepared
    from trainer.run.folder import Run
    from trainer.run_config import RunConfig

BankOption = Annotated[
    Path | None,
    typer.Option("--bank", help="The prompt bank, bank.json. Methods without conditions need none."),
]
StreamOption = Annotated[
    bool,
    typer.Option("--no-feature-cache", help="Encode images each time they are used; keep no features on the disk."),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto (CUDA where there is a GPU), cpu, cuda, cuda:1 …")
]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="FILE|TAG",
        help="Where the backbone's weights are: a .safetensors file, or a tag of open_clip, which is fetched. "
        "[where the folder says; nothing is fetched]",
    ),
]
MovedDataOption = Annotated[
    Path | None, typer.Option("--data-root", help="Where the data set's files are now. [where they were in training]")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


def read_bank(path: Path | None) -> Bank | None:
    """Read a bank and print its warnings to standard error; None if there is no path."""
    if path is None:
        return None
    from prompt_bank.recording.store import load

    loaded = load(path)
    if loaded.edited:
        echo(
            f"note: {path} was edited by hand since revision {loaded.bank.revision}; used as it stands",
            err=True,
        )
    for warning in loaded.warnings:
        echo(f"warning: {path}: {warning}", err=True)
    return loaded.bank


def reopened(
    folder: Path,
    cache_dir: Path | None,
    device: str | None = None,
    no_feature_cache: bool = False,
    data_root: Path | None = None,
    backbone: str | None = None,
) -> tuple[Run, Prepared]:
    """A run that exists, with its data, backbone and method prepared again.

    The folder may be a stranger's: of the backbone only known architectures with the recorded weights are built, and
    nothing is fetched that the user did not name. Training, evaluation and reports check the data themselves.
    """
    with collector_paused():
        from trainer.run.folder import Run
        from trainer.run.identity import recorded_weights

    run = Run.open(folder)
    settings = with_options(run.config(), device, no_feature_cache, data_root)
    return run, prepare_run(settings, read_bank(run.bank), cache_dir, recorded_weights(run, backbone))


def with_options(
    settings: RunConfig, device: str | None, no_feature_cache: bool, data_root: Path | None = None
) -> RunConfig:
    """A run's settings with the command's options applied."""
    if data_root is not None:
        data = settings.data.model_copy(update={"data_root": expanded(data_root).resolve()})
        settings = settings.model_copy(update={"data": data})
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if no_feature_cache:
        settings = settings.model_copy(update={"compute": settings.compute.model_copy(update={"feature_cache": False})})
    return settings


def prepare_run(
    settings: RunConfig, bank: Bank | None, cache_dir: Path | None, recorded: RecordedWeights | None = None
) -> Prepared:
    """Prepare data, backbone and method, and print notes on the data to standard error."""
    with collector_paused():
        from trainer.commands.progress import reporter
        from trainer.evaluation.undefined import undefined_figures
        from trainer.preparing import prepare

        prepared = prepare(settings, bank, cache_folder(cache_dir), reporter(), recorded)
    seen = prepared.method.seen
    undefined = undefined_figures(prepared.dataset, None if seen is None else seen.tolist())
    for note in (*prepared.dataset.notes, *undefined):
        echo(f"note: {note}", err=True)
    return prepared
