"""What the miner's commands share: options, and errors as lines with an exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from condition_miner.answers.cache import AnswerCache

CacheOption = Annotated[
    Path | None, typer.Option("--cache-dir", help="Where answers are kept. [FEDMPT_CACHE_DIR, else ./cache]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns an expected error into its lines and exit code; with --debug the traceback is shown."""
    from condition_miner.errors import MinerError, MiningFailed
    from prompt_bank.errors import BankError

    try:
        yield
    except (MinerError, BankError) as error:
        if debug:
            raise
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        raise typer.Exit(1 if isinstance(error, MiningFailed) else 2) from error
    except OSError as error:
        if debug:
            raise
        typer.echo(f"error: {error.filename or 'writing'}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def interruption_said() -> Iterator[None]:
    """Tells the user after Ctrl-C that nothing is lost. Exit code 130."""
    try:
        yield
    except KeyboardInterrupt as error:
        typer.echo("interrupted: the answers so far are kept; run the same command again to go on", err=True)
        raise typer.Exit(130) from error


@contextmanager
def opened(cache_dir: Path | None, debug: bool) -> Iterator[AnswerCache]:
    """The answer cache of a command."""
    with reported(debug):
        from condition_miner.answers.cache import AnswerCache

        with AnswerCache(folder(cache_dir)) as cache:
            yield cache


def folder(cache_dir: Path | None) -> Path:
    """The cache folder: the option, else FEDMPT_CACHE_DIR, else ./cache."""
    return cache_dir or Path(os.environ.get("FEDMPT_CACHE_DIR", "cache"))


def chosen(kind: Any, given: dict[str, Any]) -> Any:
    """Settings of a kind from the options that were given.

    Raises:
        MinerError: a value is out of range; names the option.
    """
    from pydantic import ValidationError

    from condition_miner.errors import MinerError

    try:
        return kind(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        said = "; ".join(f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}" for e in error.errors())
        raise MinerError(said) from error
