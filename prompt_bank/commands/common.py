"""Arguments, error handling and output that the bank commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fedmpt.common.errors import FedmptError

if TYPE_CHECKING:
    from prompt_bank.editing.diff import Change
    from prompt_bank.errors import BankError, Problem
    from prompt_bank.recording.changes import ChangeResult
    from prompt_bank.recording.store import LoadedBank
    from prompt_bank.schema import Bank

BankArgument = Annotated[Path, typer.Argument(metavar="BANK", help="The bank file.", show_default=False)]
ByOption = Annotated[str | None, typer.Option(help="The author of the change. [the user's name]")]
MessageOption = Annotated[
    str | None, typer.Option("-m", "--message", help="The message of the revision. [a description of the change]")
]


@contextmanager
def report_errors(as_json: bool) -> Iterator[None]:
    """Print errors, one problem per line, and exit: with code 2 for invalid files or usage, 1 for I/O errors."""
    from prompt_bank.errors import BankError

    try:
        yield
    except BankError as error:
        _print_problems(error, as_json)
        raise typer.Exit(error.exit_code) from error
    except FedmptError as error:
        if as_json:
            print_json({"ok": False, "errors": [{"place": "", "line": None, "message": str(error)}], "warnings": []})
        else:
            for line in str(error).splitlines():
                typer.echo(f"error: {line}", err=True)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        typer.echo(f"error: {error.filename or 'writing'}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from error


def change_and_report(
    path: Path, edit: Callable[[Bank], Bank], *, by: str | None, did: str, message: str | None, as_json: bool
) -> None:
    """Apply an edit to a bank file, record it, and print the changes."""
    from prompt_bank.recording.changes import apply_change, who

    report_change(apply_change(path, edit, by=who(by), did=one_line(message or did)), path, as_json)


def report_change(recorded: ChangeResult, path: Path, as_json: bool) -> None:
    """Print the changes and the number of the recorded revision."""
    if as_json:
        content = {
            "bank": str(path),
            "recorded": recorded.written,
            "revision": recorded.bank.revision,
            "hand_edit": recorded.hand_edit,
            "changes": changes_as_json(recorded.changes),
        }
        print_json(content)
        return
    if recorded.hand_edit is not None:
        typer.echo(f"{path}: revision {recorded.hand_edit} recorded: the hand edits made before")
    if not recorded.written:
        typer.echo(f"{path}: nothing to change")
        return
    print_changes(recorded.changes)
    typer.echo(
        f"{path}: revision {recorded.bank.revision} recorded; training uses {_training_conditions(recorded.bank)}"
    )


def print_changes(changes: tuple[Change, ...]) -> None:
    """Print differences as text, coloured on a terminal."""
    from rich.console import Console

    from prompt_bank.commands.tables import change_lines

    console = Console(soft_wrap=True)
    for line in change_lines(changes):
        console.print(line)


def changes_as_json(changes: tuple[Change, ...]) -> list[dict[str, Any]]:
    """Differences as JSON."""
    return [vars(change) for change in changes]


def print_state(loaded: LoadedBank) -> None:
    """Print the warnings, and whether the file has an unrecorded hand edit."""
    for warning in loaded.warnings:
        print_problem(warning, loaded.path)
    if loaded.edited:
        history = loaded.bank.history
        since = f"edited by hand since revision {history[-1].revision}" if history else "not recorded yet"
        typer.echo(f'{since}; fedmpt bank commit {loaded.path} -m "…" records it')


def load_state(loaded: LoadedBank) -> dict[str, Any]:
    """The state of a valid bank as JSON: hand edit and warnings."""
    return {
        "edited": loaded.edited,
        "errors": [],
        "warnings": [problem_as_json(warning) for warning in loaded.warnings],
    }


def print_problem(problem: Problem, source: Path | str) -> None:
    """Print a problem as one line on standard error."""
    from fedmpt.common.words import printable

    typer.echo(printable(f"{problem.severity}: {source}: {problem}"), err=True)


def problem_as_json(problem: Problem) -> dict[str, Any]:
    """A problem as JSON."""
    return {"place": problem.place, "line": problem.line, "message": problem.message}


def print_json(content: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def fail(source: Path | str, message: str) -> NoReturn:
    """Raise BankError with one problem of the whole file."""
    from prompt_bank.errors import BankError, Problem

    raise BankError(source, [Problem("", message)])


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def _training_conditions(bank: Bank) -> str:
    """A description of the conditions that training would use."""
    from prompt_bank.errors import BankError
    from prompt_bank.prompts.layout import active_conditions

    try:
        conditions, status = active_conditions(bank)
    except BankError:
        return "none: no condition is accepted or proposed"
    return f"the {len(conditions)} {status} condition{'s' if len(conditions) > 1 else ''}"


def _print_problems(error: BankError, as_json: bool) -> None:
    if as_json:
        errors = [problem_as_json(p) for p in error.problems if p.severity == "error"]
        warnings = [problem_as_json(p) for p in error.problems if p.severity == "warning"]
        print_json({"ok": False, "errors": errors, "warnings": warnings})
        return
    for problem in error.problems:
        print_problem(problem, error.source)
