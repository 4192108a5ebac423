"""fedmpt bank review."""

from __future__ import annotations

from typing import Annotated

import typer

from prompt_bank.commands.common import BankArgument, ByOption, report_errors


def review(
    bank: BankArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 chooses a free one.")] = 0,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only print the address; do not open the browser.")
    ] = False,
    by: ByOption = None,
) -> None:
    """Review a bank on a page in the browser: read, correct, accept and reject conditions.

    The page can only be opened on this machine, with the printed address. Ctrl-C ends the server; unsaved edits are
    kept for the next time, and the exit code is then 130.

    Example:  fedmpt bank review bank.json
    """
    with report_errors(False):
        from functools import partial

        from fedmpt.common.local_page.serving import serve
        from prompt_bank.recording.changes import who
        from prompt_bank.review.server import application
        from prompt_bank.review.session import Session

        session = Session(bank, who(by))
        session.open()
        serve(
            partial(application, session),
            port,
            lambda url: typer.echo(f"Review {bank} at\n\n    {url}\n\nCtrl-C ends it."),
            not no_open,
        )
        if unsaved := session.unsaved_count():
            edits = "1 edit is" if unsaved == 1 else f"{unsaved} edits are"
            typer.echo(f"{edits} not saved; the next fedmpt bank review {bank} offers them", err=True)
            raise typer.Exit(130)
