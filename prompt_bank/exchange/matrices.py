"""Carries affinities over to conditions and labels that a person rewrote, and applies the person's corrections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedmpt.common.words import suggestions
from prompt_bank.editing.affinities import align_affinity, rename_rows, revert_cell, set_cell
from prompt_bank.errors import BankError, Problem
from prompt_bank.reading.locate import Place, format_place
from prompt_bank.reading.validation import describe_error
from prompt_bank.schema import Bank, Condition, Lift

NUMBER = TypeAdapter[float | None](Lift | None)


def carry_affinities(
    before: Bank,
    after: Bank,
    renamed: Mapping[str, str],
    corrected: Mapping[int, Any],
    source: Path | str,
    line: Callable[[Place], int | None],
) -> Bank:
    """The rewritten bank with the affinities from before and the person's corrections.

    Args:
        before: the bank before the edit.
        after: the bank as the person wrote it, without affinities.
        renamed: for each renamed label its new name.
        corrected: for the index of a condition all of its corrections, {label: {value: number}}; corrections that are
            not listed are reverted. Conditions whose index is missing keep their corrections.
        source: the file that the problems refer to.
        line: gives the line number of a place in the source.

    Raises:
        BankError: with all invalid labels, values and numbers in `corrected`.
    """
    known = {c.id: c for c in before.conditions}
    labels = [label.name for label in after.labels]

    def name(label: str) -> str | None:
        now = renamed.get(label, label)
        return now if now in labels else None

    problems: list[Problem] = []
    conditions = []
    for at, condition in enumerate(after.conditions):
        old = known.get(condition.id)
        carried = condition
        if old:
            old = old.model_copy(update={"affinity": rename_rows(old.affinity, name)})
            carried = align_affinity(old, condition)
        if at in corrected:
            place: Place = ("conditions", at, "corrected")
            cells, wrong = _parse_cells(corrected[at], carried, labels)
            problems += [
                Problem(format_place((*place, *where)), message, line((*place, *where))) for where, message in wrong
            ]
            carried = _replace_corrections(carried, cells, labels) if not wrong else carried
        conditions.append(carried)
    if problems:
        raise BankError(source, problems)
    control = before.provenance.control
    if control and renamed:
        rows = {renamed.get(label, label): cells for label, cells in control.rows.items()}
        provenance = after.provenance.model_copy(update={"control": control.model_copy(update={"rows": rows})})
        after = after.model_copy(update={"provenance": provenance})
    return after.model_copy(update={"conditions": tuple(conditions)})


def _parse_cells(
    given: Any, condition: Condition, labels: list[str]
) -> tuple[dict[tuple[str, str], float | None], list[tuple[Place, str]]]:
    """The corrections by label and value (None for an empty one), and their problems with relative places."""
    found: dict[tuple[str, str], float | None] = {}
    if given in ("", None):  # the key is there, its entries were deleted
        return found, []
    if not isinstance(given, dict):
        return found, [((), "must be a map of labels")]
    wrong: list[tuple[Place, str]] = []
    for label, row in given.items():
        if label not in labels:
            wrong.append(((label,), f"there is no label '{label}'; there are {suggestions(label, labels)}"))
        elif not isinstance(row, dict):
            wrong.append(((label,), "must be a map of values to numbers"))
        else:
            for value, number in row.items():
                if value not in condition.values:
                    message = f"there is no value '{value}'; there are {suggestions(value, condition.values)}"
                    wrong.append(((label, value), message))
                    continue
                try:
                    found[label, value] = NUMBER.validate_python(number if number != "" else None, strict=True)
                except ValidationError as error:
                    wrong += [((label, value), describe_error(problem)) for problem in error.errors()]
    return found, wrong


def _replace_corrections(
    condition: Condition, cells: Mapping[tuple[str, str], float | None], labels: list[str]
) -> Condition:
    """The condition with exactly these corrections."""
    before = condition.affinity.corrected if condition.affinity else ()
    for cell in before:
        if (cell.label, cell.value) not in cells:
            condition = revert_cell(condition, cell.label, cell.value)
    for (label, value), number in cells.items():
        condition = set_cell(condition, label, value, number, labels)
    return condition
