"""fedmpt bank: export · import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import BankArgument, ByOption, MessageOption, one_line, report_change, report_errors
from prompt_bank.exchange.formats import Format

FormatOption = Annotated[Format | None, typer.Option("--format", help="[csv for .csv, label-studio for .json]")]


def export(
    bank: BankArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    form: FormatOption = None,
    affinity: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Export the labels × values of this condition."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the conditions as a spreadsheet (CSV), or as Label Studio tasks with their labelling interface.

    With --affinity, the numbers of one condition: one row per label, one column per value. `import` reads all of these.

    Example:  fedmpt bank export bank.json conditions.csv
    """
    with report_errors(False):
        from prompt_bank.exchange.files import export as write
        from prompt_bank.exchange.files import format_of
        from prompt_bank.recording.store import load

        loaded = load(bank)
        written = write(loaded.bank, file, format_of(file, form), force, affinity)
        description = f"labels × values of {affinity}" if affinity else f"{len(loaded.bank.conditions)} conditions"
        for path in written:
            typer.echo(f"{path}: {description}" if path == file else f"{path}: the interface")


def import_(
    bank: BankArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported and edited file.", show_default=False)],
    form: FormatOption = None,
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="Remove conditions that have no row in the spreadsheet.")
    ] = False,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import the changes made in an exported file, and record them.

    Changes made to the bank since the export are kept; if both changed the same field, nothing is recorded.

    Example:  fedmpt bank import bank.json conditions.csv --by ada
    """
    with report_errors(as_json):
        from prompt_bank.exchange.files import format_of, import_changes
        from prompt_bank.recording.changes import who

        chosen = format_of(file, form)
        did = one_line(message or f"imported {file.name}")
        recorded, notes = import_changes(bank, file, chosen, by=who(by), did=did, remove_missing=remove_missing)
        for note in notes:
            typer.echo(f"note: {file}: {note}", err=True)
        report_change(recorded, bank, as_json)
