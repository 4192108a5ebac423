"""The command settings. It reads the settings' source and imports neither torch nor pydantic."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fedmpt.common.console import DebugOption, JsonOption, reported

if TYPE_CHECKING:
    from trainer.reference.settings import Setting


def settings(
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="[PATTERN]", help="Only those with this in name or meaning.", show_default=False),
    ] = None,
    method: Annotated[str | None, typer.Option(help="Only settings of runs with this method.")] = None,
    as_template: Annotated[
        bool, typer.Option("--template", help="Print a settings file (TOML) with every setting at its default.")
    ] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show every setting of training and evaluation: its name, type, default and meaning.

    Example:  fedmpt settings learning
    """
    with reported(debug):
        from trainer.errors import TrainerError
        from trainer.reference.settings import matching
        from trainer.reference.template import template

        if as_template:
            if pattern is not None or as_json:
                raise TrainerError("--template prints the whole file: leave out PATTERN and --json")
            typer.echo(template(method), nl=False)
            return
        found = matching(pattern, method)
        if as_json:
            typer.echo(json.dumps([asdict(setting) for setting in found], indent=2, ensure_ascii=False))
            return
        for setting in found:
            typer.echo(_described(setting))
        typer.echo(
            f"\n{len(found)} settings; change one with --set KEY=VALUE, or in fedmpt.toml "
            "(fedmpt settings --template > fedmpt.toml)",
            err=True,
        )


def _described(setting: Setting) -> str:
    from trainer.reference.template import to_toml

    default = "unset" if setting.default is None else to_toml(setting.default)
    of = f"   only {setting.method}" if setting.method else ""
    head = f"{typer.style(setting.key, bold=True)} = {default}   ({setting.type}){of}"
    meaning = textwrap.fill(setting.meaning, 100, initial_indent="    ", subsequent_indent="    ")
    return f"{head}\n{meaning}"
