"""Shared by all commands: common options, the cache folder, and error reporting with exit codes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.errors import FedmptError
from fedmpt.common.files import expanded, os_error_text
from fedmpt.common.terminal import echo

CacheOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where answers and frozen features are kept. [FEDMPT_CACHE_DIR, else ./cache]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Print an expected error and exit with its code; with --debug, let it pass with its traceback."""
    try:
        yield
    except FedmptError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            # An indented line belongs to the one above it.
            echo(line if line.startswith(" ") else f"error: {line}", err=True)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        raise  # `| head` has read enough; click ends the command quietly
    except OSError as error:
        if debug:
            raise
        echo(f"error: {os_error_text(error)}", err=True)
        raise typer.Exit(1) from error


def cache_folder(cache_dir: Path | None) -> Path:
    """The cache folder: the option, else FEDMPT_CACHE_DIR, else ./cache; with ~ and $VARIABLES expanded.

    Raises:
        InputFileError: a variable that is not set.
    """
    return expanded(cache_dir or os.environ.get("FEDMPT_CACHE_DIR") or "cache")
