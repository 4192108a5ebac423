"""fedmpt bank: show · check · log · diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import (
    BankArgument,
    changes_as_json,
    fail,
    load_state,
    print_changes,
    print_json,
    print_problem,
    print_state,
    problem_as_json,
    report_errors,
)

if TYPE_CHECKING:
    from prompt_bank.recording.store import LoadedBank
    from prompt_bank.schema import Bank


def show(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Show the conditions and their provenance.

    Example:  fedmpt bank show bank.json
    """
    with report_errors(as_json):
        from prompt_bank.recording.store import load

        loaded = load(bank)
        if as_json:
            content = loaded.bank.model_dump(mode="json", by_alias=True)
            state = {**load_state(loaded), "counts": _counts(loaded.bank), "overlaps": _overlaps(loaded.bank)}
            print_json({**state, "bank": content})
            return
        from prompt_bank.commands.tables import print_bank

        print_bank(loaded.bank)
        print_state(loaded)


def check(bank: BankArgument, as_json: JsonOption = False) -> None:
    """Report all problems of a bank with line numbers, including its prompts and the copies of its revisions.

    Example:  fedmpt bank check bank.json
    """
    with report_errors(as_json):
        from prompt_bank.prompts.lengths import prompt_problems as prompt_troubles
        from prompt_bank.recording.revisions import revision_problems as revision_troubles
        from prompt_bank.recording.store import load

        loaded = load(bank)
        found = [*prompt_troubles(loaded.bank), *revision_troubles(loaded)]
        if as_json:
            state = load_state(loaded)
            state["warnings"] += [problem_as_json(problem) for problem in found]
            print_json({"ok": True, **state, "counts": _counts(loaded.bank)})
            return
        counts = _counts(loaded.bank)
        counted = ", ".join(f"{counts[part]} {part}" for part in ("labels", "conditions", "captions"))
        typer.echo(f"{bank}: good (revision {loaded.bank.revision}; {counted})")
        for problem in found:
            print_problem(problem, bank)
        print_state(loaded)


def log(bank: BankArgument, as_json: JsonOption = False) -> None:
    """List the recorded revisions, oldest first.

    Example:  fedmpt bank log bank.json
    """
    with report_errors(as_json):
        from fedmpt.common.words import printable
        from prompt_bank.recording.store import load

        loaded = load(bank)
        if as_json:
            print_json([entry.model_dump() for entry in loaded.bank.history])
            return
        for entry in loaded.bank.history:
            typer.echo(printable(f"{entry.revision:>4}  {entry.at}  {entry.by}: {entry.did}  ({entry.hash[7:19]})"))
        print_state(loaded)


def diff(
    bank: BankArgument,
    revisions: Annotated[
        list[str] | None, typer.Argument(metavar="[REV [REV]]", help="Revision numbers, or the first digits of hashes.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show changes: since the newest revision, since REV, or from the first REV to the second.

    Example:  fedmpt bank diff bank.json 1 3
    """
    with report_errors(as_json):
        from prompt_bank.editing.diff import diff as differences
        from prompt_bank.recording.store import load

        loaded = load(bank)
        before, after = _compared(loaded, revisions or [])
        changes = differences(before, after)
        if as_json:
            print_json(changes_as_json(changes))
        elif changes:
            print_changes(changes)
        else:
            typer.echo("no difference")


def _compared(loaded: LoadedBank, revisions: list[str]) -> tuple[Bank, Bank]:
    from prompt_bank.recording.revisions import find_revision

    if len(revisions) > 2:
        fail(loaded.path, "diff compares at most two revisions")
    before = find_revision(loaded, revisions[0] if revisions else "newest")
    after = find_revision(loaded, revisions[1]) if len(revisions) == 2 else loaded.bank
    return before, after


def _counts(bank: Bank) -> dict[str, Any]:
    """The numbers of labels, conditions, captions and so on."""
    statuses = [condition.status for condition in bank.conditions]
    return {
        "labels": len(bank.labels),
        "conditions": len(bank.conditions),
        **{status: statuses.count(status) for status in ("accepted", "proposed", "rejected")},
        "dependencies": len(bank.dependencies),
        "captions": len(bank.captions),
        "revisions": len(bank.history),
    }


def _overlaps(bank: Bank) -> list[dict[str, Any]]:
    """The overlaps of conditions (Jaccard index of their captions), except for zeros."""
    from prompt_bank.editing.measures import explained, overlaps

    found = overlaps(bank.conditions, explained(bank.captions, bank.conditions))
    return [{"conditions": pair, "share": round(share, 4)} for pair, share in found.items() if share]
