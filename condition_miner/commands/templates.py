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
        from condition_miner.messages.checks import template_variables
        from condition_miner.messages.templates import TEMPLATES, PromptTemplates

        templates = PromptTemplates(folder)
        rows = [
            {
                "name": name,
                "from": templates.display_name(name) if name in templates.custom else "shipped",
                "variables": template_variables(message),
            }
            for message, names in TEMPLATES.items()
            for name in names
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
        from condition_miner.messages.templates import PromptTemplates

        templates = PromptTemplates(folder)
        typer.echo(templates.text(_existing_name(name)), nl=False)


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
        from condition_miner.messages.checks import template_problems
        from condition_miner.messages.templates import PromptTemplates, template_names

        try:
            templates = PromptTemplates(folder)
            found = template_problems(templates)
        except MinerError as error:
            found = str(error).splitlines()
        if as_json:
            typer.echo(json.dumps({"ok": not found, "errors": found}, ensure_ascii=False))
            raise typer.Exit(2 if found else 0)
        if found:
            raise MinerError("\n".join(found))
        custom = f", {len(templates.custom)} of them from {folder}" if folder else ""
        typer.echo(f"{len(template_names())} templates are good{custom}")


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
        from condition_miner.messages.templates import shipped_folder, template_names

        wanted = [_existing_name(one) for one in name] if name else template_names()
        there = [to / one for one in wanted if (to / one).exists()]
        if there and not force:
            raise MinerError("\n".join(f"{path}: is there already; --force replaces it" for path in there))
        to.mkdir(parents=True, exist_ok=True)
        for one in wanted:
            (to / one).write_bytes((shipped_folder() / one).read_bytes())
        typer.echo(f"{to}: {len(wanted)} templates; use them with --templates {to}, check: fedmpt templates check {to}")


def _existing_name(name: str) -> str:
    from difflib import get_close_matches

    from condition_miner.errors import MinerError
    from condition_miner.messages.templates import template_names

    if name in template_names():
        return name
    near = get_close_matches(name, template_names(), n=3, cutoff=0.4)
    listed = ", ".join([*near, *(other for other in template_names() if other not in near)])
    raise MinerError(f"there is no template '{name}'; there are {listed}")
