"""The command doctor."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from fedmpt.common.check import Check, Status
from fedmpt.common.console import CacheOption, DebugOption, JsonOption, cache_folder, reported
from fedmpt.common.startup import collector_paused

COLOURS = {Status.OK: typer.colors.GREEN, Status.NOTE: typer.colors.YELLOW, Status.BROKEN: typer.colors.RED}


def doctor(cache_dir: CacheOption = None, as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Check packages, GPU, endpoint, cache, disk space and weights. Exit code 1 where something is broken.

    The endpoint of OPENAI_BASE_URL is asked for its models; its key is never shown.

    Example:  fedmpt doctor
    """
    with reported(debug):
        found = []
        for check in _checks(cache_folder(cache_dir)):
            found.append(check)
            if not as_json:
                _print(check)
        if as_json:
            typer.echo(json.dumps([asdict(check) for check in found], indent=2, ensure_ascii=False))
        if any(check.status is Status.BROKEN for check in found):
            raise typer.Exit(1)


def _checks(cache: Path) -> list[Check]:
    from fedmpt.doctor import machine, state

    with collector_paused():
        return [
            *machine.packages(),
            *machine.gpu(),
            *machine.weights(),
            *machine.disk(cache),
            *state.cache(cache),
            *state.endpoint(),
            *state.settings_file(),
        ]


def _print(check: Check) -> None:
    typer.echo(f"{typer.style(f'{check.status:<7}', fg=COLOURS[check.status])} {check.name}: {check.detail}")
    if check.remedy:
        typer.echo(f"        → {check.remedy}")
