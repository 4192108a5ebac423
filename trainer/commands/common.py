"""Common parts of the trainer's commands: options, and opening a run with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
CheckpointOption = Annotated[
    str | None, typer.Option(help="last, best or a number of rounds. [the one that was evaluated]")
]
ClientOption = Annotated[
    int | None,
    typer.Option(help="Of a run of fedpgp: this client's own model. [the shared one]", min=0, show_default=False),
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


def open_run(
    folder: Path,
    cache_dir: Path | None,
    device: str | None,
    no_feature_cache: bool,
    data_root: Path | None,
    backbone: str | None,
) -> Run:
    """Open a run with the command's options, and load its data, backbone and method."""
    with collector_paused():
        from trainer.session import Options, Run

        run = Run.open(folder, Options(cache_dir, device, not no_feature_cache, data_root, backbone))
        run.prepared  # noqa: B018  (loaded here, while the collector is paused)
    return run
