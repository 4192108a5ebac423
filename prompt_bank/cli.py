"""The command group `fedmpt bank`; the order is that of the help."""

from __future__ import annotations

import typer

from prompt_bank.commands import decide, dependencies, edit, exchange, look, prompts, record, review

app = typer.Typer(no_args_is_help=True, add_completion=False)

LOOK, DECIDE, REVISIONS = "Look", "Decide", "Revisions"
"""Titles of the help panels."""

app.command(rich_help_panel=LOOK)(look.show)
app.command(rich_help_panel=LOOK)(look.check)
app.command(rich_help_panel=LOOK)(prompts.prompts)
app.command(rich_help_panel=LOOK)(dependencies.dependencies)
app.command(rich_help_panel=LOOK)(dependencies.score)
app.command(rich_help_panel=DECIDE)(review.review)
app.command(rich_help_panel=DECIDE)(edit.edit)
app.command(rich_help_panel=DECIDE)(decide.accept)
app.command(rich_help_panel=DECIDE)(decide.reject)
app.command(rich_help_panel=DECIDE)(decide.propose)
app.command(rich_help_panel=DECIDE)(decide.rename)
app.command(rich_help_panel=DECIDE)(decide.merge)
app.command(rich_help_panel=DECIDE)(decide.add)
app.command(rich_help_panel=DECIDE)(decide.remove)
app.command(rich_help_panel=DECIDE)(exchange.export)
app.command("import", rich_help_panel=DECIDE)(exchange.import_)
app.command(rich_help_panel=REVISIONS)(look.log)
app.command(rich_help_panel=REVISIONS)(look.diff)
app.command(rich_help_panel=REVISIONS)(record.commit)
app.command(rich_help_panel=REVISIONS)(record.restore)
