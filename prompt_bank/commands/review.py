"""fedmpt bank: review."""

from __future__ import annotations

from typing import Annotated

import typer

from prompt_bank.commands.common import BankArgument, ByOption, report_errors


def review(
    bank: BankArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0 takes a free port.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address.")] = False,
    by: ByOption = None,
) -> None:
    """Read, correct and decide about a bank on a page in the browser.

    The page is served to this machine alone, and only to who has its address. Ctrl-C ends it; edits that were not
    saved by then are kept for the next time, and the exit code is 130.

    Example:  fedmpt bank review bank.json
    """
    with report_errors(False):
        from prompt_bank.recording.changes import who
        from prompt_bank.review.serving import serve
        from prompt_bank.review.session import Session

        session = Session(bank, who(by))
        session.opened()
        serve(session, port, lambda url: typer.echo(f"Review {bank} at\n\n    {url}\n\nCtrl-C ends it."), not no_open)
        if unsaved := session.unsaved():
            edits = "1 edit is" if unsaved == 1 else f"{unsaved} edits are"
            typer.echo(f"{edits} not saved; kept for the next fedmpt bank review {bank}", err=True)
            raise typer.Exit(130)
