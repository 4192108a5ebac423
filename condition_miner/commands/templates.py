"""fedmpt templates: list · show · check · copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import DebugOption, JsonOption, reported

app = typer.Typer(no_args_is_help=True, add_completion=False)

FolderOption = Annotated[
    Path | None, typer.Option("--templates", help="Folder with templates in the place of shipped ones.")
]


@app.command("list")
def list_(folder: FolderOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """The template of every message, and the variables that it can use.

    Example:  fedmpt templates list
    """
    with reported(debug):
        from condition_miner.messages.checks import variables
        from condition_miner.messages.templates import MESSAGES, ROLES, Templates

        templates = Templates(folder)
        rows = [
            {
                "name": f"{message}_{role}.j2",
                "from": templates.shown(f"{message}_{role}.j2")
                if f"{message}_{role}.j2" in templates.own
                else "shipped",
                "variables": variables(message),
            }
            for message in MESSAGES
            for role in ROLES
        ]
        if as_json:
            typer.echo(json.dumps(rows, ensure_ascii=False))
            return
        for row in rows:
            typer.echo(f"{row['name']:<24} {row['from']:<10} {', '.join(row['variables'])}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="As fedmpt templates list names it.")],
    folder: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """A template as it is used.

    Example:  fedmpt templates show describe_user.j2
    """
    with reported(debug):
        from condition_miner.messages.templates import Templates

        templates = Templates(folder)
        typer.echo(templates.text(_known(name)), nl=False)


@app.command()
def check(
    folder: Annotated[Path | None, typer.Argument(help="Folder of templates. [the shipped ones]")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Render every template with sample data, hostile labels among it, and say everything that is wrong.

    Example:  fedmpt templates check my-templates
    """
    with reported(debug):
        from condition_miner.errors import MinerError
        from condition_miner.messages.checks import problems
        from condition_miner.messages.templates import Templates, names

        try:
            templates = Templates(folder)
            found = problems(templates)
        except MinerError as error:
            found = str(error).splitlines()
        if as_json:
            typer.echo(json.dumps({"ok": not found, "errors": found}, ensure_ascii=False))
            raise typer.Exit(2 if found else 0)
        if found:
            raise MinerError("\n".join(found))
        own = f", {len(templates.own)} of them from {folder}" if folder else ""
        typer.echo(f"{len(names())} templates are good{own}")


@app.command()
def copy(
    to: Annotated[Path, typer.Argument(help="Folder; it is made if it is missing.")],
    name: Annotated[list[str] | None, typer.Argument(help="Only these. [all]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    debug: DebugOption = False,
) -> None:
    """Copy shipped templates into a folder, to change them there.

    Example:  fedmpt templates copy my-templates describe_user.j2
    """
    with reported(debug):
        from condition_miner.errors import MinerError
        from condition_miner.messages.templates import names, shipped_folder

        wanted = [_known(one) for one in name] if name else names()
        there = [to / one for one in wanted if (to / one).exists()]
        if there and not force:
            raise MinerError("\n".join(f"{path}: is there already; --force replaces it" for path in there))
        to.mkdir(parents=True, exist_ok=True)
        for one in wanted:
            (to / one).write_bytes((shipped_folder() / one).read_bytes())
        typer.echo(f"{to}: {len(wanted)} templates; use them with --templates {to}, check: fedmpt templates check {to}")


def _known(name: str) -> str:
    from difflib import get_close_matches

    from condition_miner.errors import MinerError
    from condition_miner.messages.templates import names

    if name in names():
        return name
    near = get_close_matches(name, names(), n=3, cutoff=0.4)
    listed = ", ".join([*near, *(other for other in names() if other not in near)])
    raise MinerError(f"there is no template '{name}'; there are {listed}")
