"""What the trainer's commands share: options, errors as lines with an exit code, the bank, what a run works on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prompt_bank.schema import Bank
    from trainer.preparing import Prepared
    from trainer.run_config import RunConfig

BankOption = Annotated[
    Path | None,
    typer.Option("--bank", help="The prompt bank, bank.json. Methods without conditions need none."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where frozen features are kept. [FEDMPT_CACHE_DIR, else ./cache]"),
]
StreamOption = Annotated[
    bool,
    typer.Option("--no-feature-cache", help="Encode images each time they are used; keep no features on the disk."),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto (CUDA where there is a GPU), cpu, cuda, cuda:1 …")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns an expected error into its line and exit code; with --debug the traceback is shown."""
    from prompt_bank.errors import BankError
    from trainer.errors import RunFailed, TrainerError

    try:
        yield
    except (TrainerError, BankError) as error:
        if debug:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1 if isinstance(error, RunFailed) else 2) from error
    except OSError as error:
        if debug:
            raise
        typer.echo(f"error: {error.strerror or error}: {error.filename or ''}", err=True)
        raise typer.Exit(1) from error


def read_bank(path: Path | None) -> Bank | None:
    """The bank of a path, with its warnings on standard error; None for no path."""
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


def here(settings: RunConfig, device: str | None, no_feature_cache: bool) -> RunConfig:
    """A run's settings with what this call has of its own."""
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if no_feature_cache:
        settings = settings.model_copy(update={"compute": settings.compute.model_copy(update={"feature_cache": False})})
    return settings


def prepared_run(settings: RunConfig, bank: Bank | None, cache_dir: Path | None) -> Prepared:
    """Data, backbone and method of a run, with notes about the data on standard error."""
    from trainer.commands.progress import reporter
    from trainer.preparing import prepare

    cache = cache_dir or Path(os.environ.get("FEDMPT_CACHE_DIR", "cache"))
    prepared = prepare(settings, bank, cache, reporter())
    for note in prepared.dataset.notes:
        typer.echo(f"note: {note}", err=True)
    return prepared


def console() -> Any:
    """Rich's console, imported when something is printed."""
    from rich.console import Console

    return Console()
