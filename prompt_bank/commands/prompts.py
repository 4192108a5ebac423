"""fedmpt bank prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmpt.common.console import JsonOption
from prompt_bank.commands.common import BankArgument, fail, print_json, print_problem, report_errors

if TYPE_CHECKING:
    from prompt_bank.prompts.lengths import MeasuredPrompt
    from prompt_bank.schema import Bank


def prompts(
    bank: BankArgument,
    label: Annotated[str | None, typer.Option(help="Only this label's.")] = None,
    condition: Annotated[str | None, typer.Option(metavar="ID", help="Only this condition's.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show how many tokens each has.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The prompts that training will use; learnable tokens stand as [u1] … and [w1] …

    Those that are longer than CLIP reads, or that it cannot tell apart, are named.

    Example:  fedmpt bank prompts bank.json --label cat
    """
    with report_errors(as_json):
        from prompt_bank.prompts.lengths import prompt_problems
        from prompt_bank.recording.store import load

        loaded = load(bank)
        found = _chosen(loaded.bank, bank, label, condition)
        if as_json:
            print_json([vars(prompt) for prompt in found])
            return
        for prompt in found:
            typer.echo(f"{prompt.tokens:>3}  {prompt.text}" if tokens else prompt.text)
        for problem in prompt_problems(loaded.bank):
            print_problem(problem, bank)


def _chosen(bank: Bank, path: Path, label: str | None, condition: str | None) -> list[MeasuredPrompt]:
    """The prompts of a label, of a condition, of both or of all."""
    from prompt_bank.prompts.layout import active_conditions
    from prompt_bank.prompts.lengths import measure_prompts

    labels = [known.name for known in bank.labels]
    conditions, status = active_conditions(bank)
    _require(label, labels, "label", path)
    _require(condition, [known.id for known in conditions], f"{status} condition", path)
    return [p for p in measure_prompts(bank) if label in (None, p.label) and condition in (None, p.condition_id)]


def _require(wanted: str | None, known: list[str], what: str, path: Path) -> None:
    """Raise BankError, with the nearest names first, unless what is wanted is there."""
    if wanted is None or wanted in known:
        return
    from fedmpt.common.words import suggestions

    fail(path, f"there is no {what} '{wanted}'; there are {suggestions(wanted, known)}")
