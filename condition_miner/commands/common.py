"""Shared by the miner's commands: the answer cache, settings from options, the message after Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedmpt.common.console import cache_folder, reported

if TYPE_CHECKING:
    from condition_miner.answers.cache import AnswerCache
    from prompt_bank.schema import Bank, Label


@contextmanager
def interruption_reported() -> Iterator[None]:
    """After Ctrl-C, tell the user how to go on, and exit with code 130."""
    try:
        yield
    except KeyboardInterrupt as error:
        typer.echo("interrupted: the answers so far are kept; run the same command again to go on", err=True)
        raise typer.Exit(130) from error


@contextmanager
def open_cache(cache_dir: Path | None, debug: bool) -> Iterator[AnswerCache]:
    """The answer cache, opened; errors are reported and end the command."""
    with reported(debug):
        from condition_miner.answers.cache import AnswerCache

        with AnswerCache(cache_folder(cache_dir)) as cache:
            yield cache


def settings_from_options(kind: Any, given: dict[str, Any]) -> Any:
    """Settings from the options of a command; options that are None keep the defaults.

    Args:
        kind: the class of the settings, MinerSettings or ServiceSettings.
        given: option values by field name.

    Raises:
        MinerError: a value is invalid; names the option.
    """
    from pydantic import ValidationError

    from condition_miner.errors import MinerError

    try:
        return kind(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}" for e in error.errors())
        raise MinerError(problems) from error


def existing_bank(out: Path, labels: tuple[Label, ...]) -> Bank | None:
    """The bank at `out`, valid and with these labels, before any request is sent; None if there is none.

    Raises:
        BankError: it is invalid, or has other labels.
    """
    if not out.exists():
        return None
    from prompt_bank.recording.proposals import require_shared_label
    from prompt_bank.recording.store import load

    existing = load(out).bank
    require_shared_label(existing, labels)
    return existing
