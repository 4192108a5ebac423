"""fedmpt labels."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import DebugOption, JsonOption, reported

ColumnOption = Annotated[
    str | None, typer.Option(help="Of a CSV file: the labels' column, by name; by number where there is no header.")
]


def labels(
    file: Annotated[
        Path,
        typer.Argument(help="Text, CSV, a JSON list, COCO annotations or a VOC devkit folder.", show_default=False),
    ],
    column: ColumnOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show which labels are read from a file, and what is doubtful about them.

    Example:  fedmpt labels instances_train2014.json
    """
    with reported(debug):
        from condition_miner.labels.labels import read_labels

        read = read_labels(file, column)
        if as_json:
            found = [label.model_dump(mode="json") for label in read.labels]
            content = {"file": str(file), "format": read.format, "labels": found, "warnings": read.warnings}
            typer.echo(json.dumps({**content, "count": len(read.labels)}, ensure_ascii=False))
            return
        for number, label in enumerate(read.labels, start=1):
            also = f"   also: {', '.join(label.aliases)}" if label.aliases else ""
            typer.echo(f"{number:>4}  {label.name}{also}")
        for warning in read.warnings:
            typer.echo(f"warning: {warning}", err=True)
        aliases = sum(len(label.aliases) for label in read.labels)
        typer.echo(f"{file}: {read.format}, {len(read.labels)} labels, {aliases} aliases")
        typer.echo(f'next: fedmpt mine-conditions --labels {shlex.quote(str(file))} --about "what they show"', err=True)
