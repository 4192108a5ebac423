"""Common parts of the trainer's commands: options, loading the bank, preparing a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.startup import collector_paused

if TYPE_CHECKING:
    from trainer.session import Run

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
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


def open_run(folder: Path, device: str | None, no_feature_cache: bool, cache_dir: Path | None) -> Run:
    """Open a run with the command's options, and load its data, backbone and method."""
    with collector_paused():
        from trainer.session import Options, Run

        run = Run.open(folder, Options(cache_dir, device, not no_feature_cache))
        run.prepared  # noqa: B018  (loaded here, while the collector is paused)
    return run


def console() -> Any:
    """A rich console, imported on first use."""
    from rich.console import Console

    return Console()
