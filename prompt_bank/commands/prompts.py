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
    label: Annotated[str | None, typer.Option(help="Only prompts with this label.")] = None,
    condition: Annotated[str | None, typer.Option(metavar="ID", help="Only prompts with this condition.")] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show the number of tokens of each prompt.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the prompts that training will use; learnable tokens are written as [u1] … and [w1] …

    Warns of prompts that exceed CLIP's context length, or that CLIP cannot distinguish.

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
    """The prompts of a label, a condition, both, or all of them."""
    from prompt_bank.prompts.layout import active_conditions
    from prompt_bank.prompts.lengths import measure_prompts

    labels = [known.name for known in bank.labels]
    conditions, status = active_conditions(bank)
    _require(label, labels, "label", path)
    _require(condition, [known.id for known in conditions], f"{status} condition", path)
    return [p for p in measure_prompts(bank) if label in (None, p.label) and condition in (None, p.condition_id)]


def _require(wanted: str | None, known: list[str], what: str, path: Path) -> None:
    """Raise BankError, with the most similar names, if the wanted name is unknown."""
    if wanted is None or wanted in known:
        return
    from fedmpt.common.words import suggestions

    fail(path, f"there is no {what} '{wanted}'; there are {suggestions(wanted, known)}")
