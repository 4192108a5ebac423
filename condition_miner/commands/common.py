"""What the miner's commands share: the answer cache, settings from options, what Ctrl-C says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedmpt.common.console import cache_folder, reported

if TYPE_CHECKING:
    from condition_miner.answers.cache import AnswerCache


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

        with AnswerCache(cache_folder(cache_dir)) as cache:
            yield cache


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
