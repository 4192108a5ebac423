"""The options by which the settings of a new run are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="The data set: see fedmpt datasets list. [scenes]")
]
DataRootOption = Annotated[
    Path | None, typer.Option("--data-root", help="The folder with the data set's files (fedmpt datasets check).")
]
PartitionOption = Annotated[
    Path | None,
    typer.Option("--partition", help="Who owns which image: a file of fedmpt datasets partition --out, or of a run."),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out images that are missing or can't be read.")
]
MethodOption = Annotated[
    str | None, typer.Option("--method", help="A method of docs/training.md, such as coop. [fedmpt]")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--backbone", help="scenes-tiny, or an open_clip model: ViT-B-16-quickgelu … [scenes-tiny]"),
]
PretrainedOption = Annotated[
    str | None,
    typer.Option("--pretrained", help="Weights of an open_clip model: a tag (openai) or a .safetensors file."),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", help="Sets all seeds (data, initial, clients, batches) at once.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="A named set of settings: paper, paper-sgd or released.")
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings from a TOML or JSON file. [fedmpt.toml, if it is here]")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. method.rank=16; may be repeated."),
]


def local_file() -> Path | None:
    """The settings file of the current folder, if there is one."""
    path = Path("fedmpt.toml")
    return path if path.is_file() else None
