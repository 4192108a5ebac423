"""Common parts of the trainer's commands: options, loading the bank, preparing a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import cache_folder
from fedmpt.common.startup import collector_paused

if TYPE_CHECKING:
    from prompt_bank.schema import Bank
    from trainer.preparing import Prepared
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
CheckpointOption = Annotated[
    str | None, typer.Option(help="last, best or a number of rounds. [the one that was evaluated]")
]
BackboneOption = Annotated[
    str | None,
    typer.Option(help="Of an export without its backbone: the CLIP's .safetensors file, or a tag of open_clip."),
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


def read_bank(path: Path | None) -> Bank | None:
    """Read a bank and print its warnings to standard error; None if there is no path."""
    if path is None:
        return None
    from prompt_bank.recording.store import load

    loaded = load(path)
    if loaded.edited:
        typer.echo(
            f"note: {path} was edited by hand since revision {loaded.bank.revision}; used as it stands",
            err=True,
        )
    for warning in loaded.warnings:
        typer.echo(f"warning: {path}: {warning}", err=True)
    return loaded.bank


def with_options(settings: RunConfig, device: str | None, no_feature_cache: bool) -> RunConfig:
    """A run's settings with the command's options applied."""
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if no_feature_cache:
        settings = settings.model_copy(update={"compute": settings.compute.model_copy(update={"feature_cache": False})})
    return settings


def prepare_run(settings: RunConfig, bank: Bank | None, cache_dir: Path | None) -> Prepared:
    """Prepare data, backbone and method, and print notes on the data to standard error."""
    with collector_paused():
        from trainer.commands.progress import reporter
        from trainer.preparing import prepare

        prepared = prepare(settings, bank, cache_folder(cache_dir), reporter())
    for note in prepared.dataset.notes:
        typer.echo(f"note: {note}", err=True)
    return prepared


def console() -> Any:
    """A rich console, imported on first use."""
    from rich.console import Console

    return Console()
