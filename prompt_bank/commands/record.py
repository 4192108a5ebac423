"""fedmpt bank: commit · restore."""

from __future__ import annotations

from typing import Annotated

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import BankArgument, ByOption, one_line, report_change, report_errors


def commit(
    bank: BankArgument,
    message: Annotated[str, typer.Option("-m", "--message", help="The message of the revision.")],
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a hand edit as a new revision.

    Example:  fedmpt bank commit bank.json -m "merge lighting into weather"
    """
    with report_errors(as_json):
        from prompt_bank.recording.changes import ChangeResult, record_hand_edit, who
        from prompt_bank.recording.store import load

        loaded = load(bank)
        if loaded.edited:
            report_change(record_hand_edit(loaded, who(by), one_line(message)), bank, as_json)
        elif as_json:
            report_change(ChangeResult(loaded.bank, False), bank, as_json)
        else:
            typer.echo(f"{bank}: no hand edit since revision {loaded.bank.revision}")


def restore(
    bank: BankArgument,
    revision: Annotated[str, typer.Argument(metavar="REV", help="A revision number, or the first digits of a hash.")],
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record the content of an earlier revision as a new revision; later revisions are kept.

    This also repairs a truncated or deleted file; an unreadable file is renamed.

    Example:  fedmpt bank restore bank.json 2
    """
    with report_errors(as_json):
        from prompt_bank.recording.changes import who
        from prompt_bank.recording.restoring import restore as restore_revision

        restored = restore_revision(bank, revision, by=who(by))
        if restored.moved_to is not None:
            typer.echo(f"{bank} could not be read; it was renamed to {restored.moved_to}", err=True)
        report_change(restored.result, bank, as_json)
