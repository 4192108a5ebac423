"""The commands of fedmpt federation: found one, serve it, join it, check a site."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import CacheOption, DebugOption, reported
from fedmpt.common.startup import collector_paused
from fedmpt.common.terminal import echo
from trainer.commands.common import BankOption

app = typer.Typer(no_args_is_help=True, help="Train over several machines with Flower (pip install 'fedmpt[flower]').")

ServerArgument = Annotated[Path, typer.Argument(metavar="SERVER.TOML", help="Of federation init.", show_default=False)]
SiteArgument = Annotated[Path, typer.Argument(metavar="SITE.TOML", help="Of federation init.", show_default=False)]


class Images(StrEnum):
    """Which training images are a site's."""

    ALL = "all"
    PARTITION = "partition"


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.", show_default=False)],
    sites: Annotated[int, typer.Option(help="The number of sites.", min=1)],
    bank: BankOption = None,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or IP address by which sites reach the server; may be repeated. [127.0.0.1]"),
    ] = None,
    port: Annotated[int, typer.Option(help="Of the server; the SuperLink gets the next.", min=1, max=65534)] = 9092,
    images: Annotated[
        Images | None,
        typer.Option(
            help="A site's training images: all of its data's, or those of its number in the partition. "
            "[all; partition for the drawn world]"
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="torch's at server and sites; equal for equal results.", min=1)] = 1,
    rounds: Annotated[int | None, typer.Option(help="Federated rounds. [from the data]", min=1)] = None,
    config: Annotated[Path | None, typer.Option(help="Settings from a TOML or JSON file.")] = None,
    preset: Annotated[str | None, typer.Option(help="A named set of settings, as of fedmpt train.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. data.dataset=voc2007; may be repeated."),
    ] = None,
    cache_dir: CacheOption = None,
    debug: DebugOption = False,
) -> None:
    """Write the folders of a server and its sites: settings, bank, certificates, keys, and the Flower app.

    Give each site its folder over a safe way: it holds the site's private key.

    Example:  fedmpt federation init study --sites 2 --host server.example.org --bank bank.json --rounds 20
    """
    with reported(debug):
        with collector_paused():
            from trainer.flower.founding import Plan, found
            from trainer.options import Options
            from trainer.resolving import named_settings, parse_assignment, resolve

        overrides = named_settings({"rounds": rounds}) | dict(parse_assignment(text) for text in assignments or [])
        settings = resolve(config, preset, overrides)
        whose = images or (Images.PARTITION if settings.data.dataset == "scenes" else Images.ALL)
        plan = Plan(sites, host or ["127.0.0.1"], port, whose.value, threads)
        server, *others = found(folder, plan, settings, bank, Options(cache_dir))
        echo(f"server: {server}   next: fedmpt federation serve {server / 'server.toml'}")
        for site in others:
            echo(f"site:   {site}   there: fedmpt federation join site.toml")


@app.command()
def serve(server: ServerArgument, debug: DebugOption = False) -> None:
    """Run the server: SuperLink, the gate before it, and the training. Goes on with a run that was interrupted.

    Example:  fedmpt federation serve study/server/server.toml
    """
    with reported(debug):
        with collector_paused():
            from trainer.flower.children import ended_by_signal
            from trainer.flower.serving import serve as start

        with ended_by_signal():
            run = start(server, lambda text: echo(text, err=True))
        echo(f"run {run}   next: fedmpt report {run}   fedmpt predict {run} IMAGES")


@app.command()
def join(site: SiteArgument, debug: DebugOption = False) -> None:
    """Take part as a site, until interrupted.

    Example:  fedmpt federation join site.toml
    """
    with reported(debug):
        with collector_paused():
            from trainer.flower.children import ended_by_signal
            from trainer.flower.joining import join as start

        with ended_by_signal():
            start(site, lambda text: echo(text, err=True))


@app.command()
def own_model(
    site: SiteArgument,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Of fedmpt export at the server.", show_default=False)],
    out: Annotated[Path, typer.Option(help="A new folder.", show_default=False)],
    debug: DebugOption = False,
) -> None:
    """Complete the shared model with what only this site has, for methods with parts of a client's own (fedpgp).

    Example:  fedmpt federation own-model site.toml model --out own
    """
    with reported(debug):
        with collector_paused():
            from trainer.flower.own_model import own_model as make

        rounds = make(site, model, out)
        echo(f"model {out}, with this site's own parts after {rounds} rounds   next: fedmpt predict {out} IMAGES")


@app.command()
def doctor(site: SiteArgument, debug: DebugOption = False) -> None:
    """Check a site before it joins: server, certificate, clock, key, data, weights, bank, settings and versions.

    Exit code 1 where something is broken.

    Example:  fedmpt federation doctor site.toml
    """
    with reported(debug):
        with collector_paused():
            from fedmpt.common.check import Status
            from trainer.flower.examining import examine

        broken = False
        for check in examine(site):
            broken |= check.status is Status.BROKEN
            echo(f"{check.status:<7} {check.name}: {check.detail}")
            if check.remedy:
                echo(f"        → {check.remedy}")
        if broken:
            raise typer.Exit(1)
