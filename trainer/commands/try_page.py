"""The command try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import DebugOption, reported
from fedmpt.common.startup import collector_paused
from trainer.commands.common import BackboneOption, CheckpointOption, ClientOption, DeviceOption


def try_model(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run's folder, or an exported one.", show_default=False)
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 chooses a free one.")] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the address; do not open the browser.")
    ] = False,
    checkpoint: CheckpointOption = None,
    client: ClientOption = None,
    backbone: BackboneOption = None,
    device: DeviceOption = None,
    debug: DebugOption = False,
) -> None:
    """Try a model on a page in the browser: drop pictures in; see their labels, where they were found, and why.

    The page can only be opened on this machine, with the printed address. Pictures stay on this machine and are not
    stored. Ctrl-C ends the server.

    Example:  fedmpt try runs/fedmpt-scenes-1
    """
    with reported(debug):
        with collector_paused():
            from functools import partial

            from fedmpt.common.local_page.serving import serve
            from trainer.inference.load import load
            from trainer.try_page.answering import Answerer
            from trainer.try_page.server import application

            where = device or "auto"
            answerer = Answerer(load(model, device=where, checkpoint=checkpoint, backbone=backbone, client=client))
            answerer.warm_up()
        serve(
            partial(application, answerer),
            port,
            lambda url: typer.echo(f"Try {model} at\n\n    {url}\n\nCtrl-C ends it."),
            not no_open,
        )
