"""fedmpt bank: show · check · prompts · log · commit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prompt_bank.errors import BankError, Problem
    from prompt_bank.prompts import PromptText
    from prompt_bank.schema import Bank
    from prompt_bank.store import LoadedBank

app = typer.Typer(no_args_is_help=True, add_completion=False)

BankArgument = Annotated[Path, typer.Argument(metavar="BANK", help="The bank's file.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def show(bank: BankArgument, as_json: JsonOption = False) -> None:
    """The conditions, and where they come from.

    Example:  fedmpt bank show bank.json
    """
    with _reported(as_json):
        loaded = _load(bank)
        if as_json:
            _print_json({**_state(loaded), "bank": loaded.bank.model_dump(mode="json", by_alias=True)})
        else:
            from prompt_bank.tables import print_bank

            print_bank(loaded.bank)
            _print_state(loaded)


@app.command()
def check(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with a bank, with line numbers.

    Example:  fedmpt bank check bank.json
    """
    with _reported(as_json):
        loaded = _load(bank)
        if as_json:
            _print_json({"ok": True, **_state(loaded)})
            return
        b = loaded.bank
        counted = f"{len(b.labels)} labels, {len(b.conditions)} conditions, {len(b.captions)} captions"
        typer.echo(f"{bank}: good (revision {b.revision}; {counted})")
        _print_state(loaded)


@app.command()
def prompts(
    bank: BankArgument,
    label: Annotated[str | None, typer.Option(help="Only this label's.")] = None,
    condition: Annotated[str | None, typer.Option(metavar="ID", help="Only this condition's.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The prompts that training will use; learnable tokens stand as [u1] … and [w1] …

    Example:  fedmpt bank prompts bank.json --label cat
    """
    with _reported(as_json):
        found = _chosen(_load(bank).bank, bank, label, condition)
        if as_json:
            _print_json([vars(prompt) for prompt in found])
            return
        for prompt in found:
            typer.echo(prompt.text)


@app.command()
def log(bank: BankArgument, as_json: JsonOption = False) -> None:
    """The recorded revisions.

    Example:  fedmpt bank log bank.json
    """
    with _reported(as_json):
        from prompt_bank.tables import printable

        loaded = _load(bank)
        if as_json:
            _print_json([entry.model_dump() for entry in loaded.bank.history])
            return
        for entry in loaded.bank.history:
            typer.echo(printable(f"{entry.revision:>4}  {entry.at}  {entry.by}: {entry.did}  ({entry.hash[:19]}…)"))
        _print_state(loaded)


@app.command()
def commit(
    bank: BankArgument,
    message: Annotated[str, typer.Option("-m", "--message", help="What was changed, and why.")],
    by: Annotated[str | None, typer.Option(help="Who changed it. [the user's name]")] = None,
) -> None:
    """Record a hand edit as a new revision.

    Example:  fedmpt bank commit bank.json -m "merge lighting into weather"
    """
    with _reported(False):
        from prompt_bank.store import record

        loaded = _load(bank)
        if not loaded.edited:
            typer.echo(f"{bank}: nothing was edited since revision {loaded.bank.revision}")
            return
        did = " ".join(message.split())
        written = record(loaded.bank, bank, by=by or _user(), did=did, expected_hash=loaded.hash)
        typer.echo(f"{bank}: revision {written.revision} recorded")


def _load(path: Path) -> LoadedBank:
    from prompt_bank.store import load

    return load(path)


def _chosen(bank: Bank, path: Path, label: str | None, condition: str | None) -> list[PromptText]:
    """The prompts of a label, of a condition, of both or of all."""
    from prompt_bank.prompts import active_conditions
    from prompt_bank.prompts import prompts as instantiate

    labels = [known.name for known in bank.labels]
    conditions, status = active_conditions(bank)
    _require(label, labels, "label", path)
    _require(condition, [known.id for known in conditions], f"{status} condition", path)
    return [p for p in instantiate(bank) if label in (None, p.label) and condition in (None, p.condition_id)]


def _require(wanted: str | None, known: list[str], what: str, path: Path) -> None:
    """Raise BankError, with the nearest names first, unless what is wanted is there."""
    if wanted is None or wanted in known:
        return
    from difflib import get_close_matches

    from prompt_bank.errors import BankError, Problem

    near = get_close_matches(wanted, known, n=3, cutoff=0.5)
    offered = ", ".join([*near, *(name for name in known if name not in near)][:20])
    raise BankError(path, [Problem("", f"there is no {what} '{wanted}'; there are {offered}")])


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """Prints the problems of a bank, one a line, and ends with exit code 2; 1 where the disk failed."""
    from prompt_bank.errors import BankConflict, BankError

    try:
        yield
    except BankError as error:
        _print_problems(error, as_json)
        raise typer.Exit(1 if isinstance(error, BankConflict) else 2) from error
    except OSError as error:
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from error


def _print_problems(error: BankError, as_json: bool) -> None:
    from prompt_bank.tables import printable

    if as_json:
        errors = [_as_dict(p) for p in error.problems if p.severity == "error"]
        warnings = [_as_dict(p) for p in error.problems if p.severity == "warning"]
        _print_json({"ok": False, "errors": errors, "warnings": warnings})
        return
    for problem in error.problems:
        typer.echo(printable(f"{problem.severity}: {error.source}: {problem}"), err=True)


def _as_dict(problem: Problem) -> dict[str, Any]:
    return {"place": problem.place, "line": problem.line, "message": problem.message}


def _state(loaded: LoadedBank) -> dict[str, Any]:
    """What a program should know about a good bank beside its content."""
    return {"edited": loaded.edited, "errors": [], "warnings": [_as_dict(warning) for warning in loaded.warnings]}


def _print_state(loaded: LoadedBank) -> None:
    """Warnings, and whether a person changed the bank since it was recorded."""
    from prompt_bank.tables import printable

    for warning in loaded.warnings:
        typer.echo(printable(f"warning: {loaded.path}: {warning}"), err=True)
    if loaded.edited:
        history = loaded.bank.history
        since = f"edited by hand since revision {history[-1].revision}" if history else "not recorded yet"
        typer.echo(f'{since}; fedmpt bank commit {loaded.path} -m "…" records it')


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
