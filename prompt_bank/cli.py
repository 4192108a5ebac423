"""fedmpt bank: show · check · prompts · log · commit."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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
            from prompt_bank.store import dumps

            typer.echo(dumps(loaded.bank), nl=False)
        else:
            _print(loaded)


@app.command()
def check(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with a bank, with line numbers.

    Example:  fedmpt bank check bank.json
    """
    with _reported(as_json):
        loaded = _load(bank)
        warnings = [str(warning) for warning in loaded.warnings]
        if as_json:
            typer.echo(json.dumps({"ok": True, "edited": loaded.edited, "errors": [], "warnings": warnings}))
            return
        for warning in warnings:
            typer.echo(f"warning: {bank}: {warning}")
        b = loaded.bank
        counted = f"{len(b.labels)} labels, {len(b.conditions)} conditions, {len(b.captions)} captions"
        typer.echo(f"{bank}: good (revision {b.revision}; {counted})")
        if loaded.edited:
            typer.echo(f"edited by hand since revision {b.revision}; fedmpt bank commit {bank} records it")


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
        from prompt_bank.errors import BankError, Problem
        from prompt_bank.prompts import prompts as instantiate

        loaded = _load(bank)
        everything = instantiate(loaded.bank)
        found = [p for p in everything if label in (None, p.label) and condition in (None, p.condition_id)]
        if not found:
            ids = ", ".join(dict.fromkeys(p.condition_id for p in everything))
            raise BankError(bank, [Problem("", f"no such prompt; the conditions are {ids}, see also fedmpt bank show")])
        if as_json:
            typer.echo(json.dumps([p.__dict__ for p in found], indent=2, ensure_ascii=False))
        else:
            for prompt in found:
                typer.echo(prompt.text)


@app.command()
def log(bank: BankArgument, as_json: JsonOption = False) -> None:
    """The recorded revisions.

    Example:  fedmpt bank log bank.json
    """
    with _reported(as_json):
        history = _load(bank).bank.history
        if as_json:
            typer.echo(json.dumps([entry.model_dump() for entry in history], indent=2, ensure_ascii=False))
        for entry in () if as_json else history:
            typer.echo(f"{entry.revision:>4}  {entry.at}  {entry.by}: {entry.did}  ({entry.hash[:19]}…)")


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
        written = record(loaded.bank, bank, by=by or getpass.getuser(), did=message, expected_hash=loaded.hash)
        typer.echo(f"{bank}: revision {written.revision} recorded")


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """Prints the problems of a bank, one a line, and ends with exit code 2."""
    from prompt_bank.errors import BankError

    try:
        yield
    except BankError as error:
        if as_json:
            typer.echo(json.dumps({"ok": False, "errors": [str(problem) for problem in error.problems]}))
        for problem in error.problems:
            typer.echo(f"error: {error.source}: {problem}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        raise typer.Exit(1) from error


def _load(path: Path) -> LoadedBank:
    from prompt_bank.store import load

    return load(path)


def _print(loaded: LoadedBank) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    bank, console = loaded.bank, Console()
    origin = bank.provenance
    console.print(
        f"[bold]{escape(bank.name)}[/bold]  revision {bank.revision}  {len(bank.labels)} labels, "
        f"{len(bank.captions)} captions, {len(bank.dependencies)} dependencies"
    )
    console.print(
        f"mined with {escape(origin.model)} ({escape(origin.endpoint)}), {origin.created}, {origin.requests} requests"
    )
    table = Table()
    for heading in ("id", "text", "status", "support", "definition", "values"):
        table.add_column(heading, overflow="fold")
    for c in bank.conditions:
        support = "" if c.support is None else f"{100 * c.support:.0f} %"
        cells = (c.id, c.text, c.status, support, c.definition, ", ".join(c.values))
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    if loaded.edited:
        console.print(f"edited by hand since revision {bank.revision}; fedmpt bank commit records it")
