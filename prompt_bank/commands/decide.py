"""fedmpt bank: accept · reject · propose · rename · merge · add · remove. Each records a revision."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import BankArgument, ByOption, MessageOption, change_and_report, fail, report_errors

if TYPE_CHECKING:
    from prompt_bank.schema import Bank

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Conditions.", show_default=False)]
SomeIds = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Conditions.", show_default=False)]
Id = Annotated[str, typer.Argument(metavar="ID", help="The condition.", show_default=False)]
Definition = Annotated[str | None, typer.Option(help="One sentence that says what it is.")]


def accept(
    bank: BankArgument,
    ids: SomeIds = None,
    everything: Annotated[bool, typer.Option("--all", help="All proposed conditions.")] = False,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept conditions for training. Once a condition is accepted, training uses only accepted ones.

    Example:  fedmpt bank accept bank.json lighting weather
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        if everything == bool(ids):
            fail(bank, "name the conditions to accept, or --all")

        def edit(content: Bank) -> Bank:
            proposed = [c.id for c in content.conditions if c.status == "proposed"]
            return editing.accept(content, proposed if everything else ids or [])

        did = "accepted all proposed conditions" if everything else f"accepted {_listed(ids)}"
        change_and_report(bank, edit, by=by, did=did, message=message, as_json=as_json)


def reject(
    bank: BankArgument,
    ids: Ids,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exclude conditions from training; mining again does not propose them again.

    Example:  fedmpt bank reject bank.json purpose -m "says the same as activity"
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        did = f"rejected {_listed(ids)}"
        change_and_report(bank, partial(editing.reject, ids=ids), by=by, did=did, message=message, as_json=as_json)


def propose(
    bank: BankArgument,
    ids: Ids,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revert decisions: the conditions are proposals again.

    Example:  fedmpt bank propose bank.json lighting
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        did = f"reverted the decision on {_listed(ids)}"
        change_and_report(bank, partial(editing.propose, ids=ids), by=by, did=did, message=message, as_json=as_json)


def rename(
    bank: BankArgument,
    condition: Id,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Its words in the prompts.", show_default=False)],
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the words of a condition; its id stays.

    Example:  fedmpt bank rename bank.json lighting "light and shadow"
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        edit = partial(editing.rename, condition_id=condition, text=text)
        did = f"renamed {condition} to '{text}'"
        change_and_report(bank, edit, by=by, did=did, message=message, as_json=as_json)


def merge(
    bank: BankArgument,
    ids: Ids,
    text: Annotated[str | None, typer.Option(help="The words of the merged condition. [the first one's]")] = None,
    definition: Definition = None,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge conditions into the first one. Values, evidence and dependencies are united.

    Example:  fedmpt bank merge bank.json lighting weather --text "light and weather"
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        def edit(content: Bank) -> Bank:
            texts = {c.id: c.text for c in content.conditions}
            return editing.merge(content, ids, text=text or texts.get(ids[0], ids[0]), definition=definition)

        did = f"merged {_listed(ids)}"
        change_and_report(bank, edit, by=by, did=did, message=message, as_json=as_json)


def add(
    bank: BankArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Its words in the prompts.", show_default=False)],
    definition: Definition = None,
    values: Annotated[list[str] | None, typer.Option("--value", help="A typical value; repeatable.")] = None,
    note: Annotated[str, typer.Option(help="A remark for other people.")] = "",
    accepted: Annotated[bool, typer.Option("--accept", help="Accept it for training at once.")] = False,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a condition of your own after the others.

    Example:  fedmpt bank add bank.json season --definition "The time of the year." --value winter --accept
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        edit = partial(
            editing.add,
            text=text,
            definition=definition or "",
            values=values or [],
            note=note,
            status="accepted" if accepted else "proposed",
        )
        change_and_report(bank, edit, by=by, did=f"added '{text}'", message=message, as_json=as_json)


def remove(
    bank: BankArgument,
    ids: Ids,
    by: ByOption = None,
    message: MessageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove conditions, also from dependencies. `reject` keeps them visible instead.

    Example:  fedmpt bank remove bank.json purpose
    """
    with report_errors(as_json):
        from prompt_bank.editing import edits as editing

        def edit(content: Bank) -> Bank:
            for condition in ids:
                content = editing.remove(content, condition)
            return content

        did = f"removed {_listed(ids)}"
        change_and_report(bank, edit, by=by, did=did, message=message, as_json=as_json)


def _listed(ids: list[str] | None) -> str:
    """Ids for the message of a revision, whose length is limited: the first, and the number of further ones."""
    names = ids or []
    shown = ", ".join(name[:64] for name in names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"
