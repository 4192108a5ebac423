"""fedmpt bank edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import BankArgument, ByOption, MessageOption, one_line, report_change, report_errors


def edit(
    bank: BankArgument,
    resume: Annotated[Path | None, typer.Option(help="Resume with the text that an earlier edit has kept.")] = None,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Edit conditions, labels and the prompt as YAML in your editor (VISUAL or EDITOR), and record the result.

    A text with errors is opened again with the errors at the top. An unchanged or empty text changes nothing.

    Example:  EDITOR=nano fedmpt bank edit bank.json
    """
    with report_errors(as_json):
        from prompt_bank.commands.editor import edit as edit_in_editor
        from prompt_bank.recording.changes import who

        did = one_line(message or "edited in an editor")
        report_change(edit_in_editor(bank, by=who(by), did=did, resume=resume), bank, as_json)
