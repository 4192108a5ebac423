"""The affinity of one condition as a CSV spreadsheet: one row per label, one column per value."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedmpt.common.words import suggestions
from prompt_bank.editing.affinities import cell_lift
from prompt_bank.editing.cells import correct_all
from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange.rewriting import source_error
from prompt_bank.exchange.spreadsheet import csv_rows, escape_formula, unescape_formula, whole_number
from prompt_bank.reading.validation import BYTE_ORDER_MARK, describe_error
from prompt_bank.schema import Bank, Condition, Lift

KEY_COLUMNS = ("condition", "revision", "label")
"""The first columns: the condition and the revision that were exported, and the label of the row."""

LIFT = TypeAdapter[float](Lift)
NUMBER = re.compile(r"[+-]?\d{1,6}(?:[.,]\d{1,9})?")


def dump(bank: Bank, condition_id: str, source: Path | str) -> str:
    """The sheet as CSV. A cell is a log-lift in nats, or empty if it was not asked.

    Raises:
        BankError: there is no such condition, or it has no values.
    """
    condition = _condition(bank, condition_id, source)
    if not condition.values:
        raise source_error(source, f"'{condition_id}' has no values; add some first")
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_MINIMAL)
    writer.writerow([*KEY_COLUMNS, *map(escape_formula, condition.values)])
    revision = str(bank.history[-1].revision) if bank.history else ""
    for label in bank.labels:
        numbers = (cell_lift(condition, label.name, value) for value in condition.values)
        row = ["" if number is None else f"{number:g}" for number in numbers]
        writer.writerow([condition.id, revision, escape_formula(label.name), *row])
    return BYTE_ORDER_MARK + file.getvalue()


class MatrixSheet:
    """A parsed sheet.

    Args:
        text: the CSV text.
        source: the file that the problems refer to.

    Attributes:
        condition: the id of its condition.
        revision: the exported revision; "" if the sheet does not name it.

    Raises:
        BankError: the text is not the sheet of one affinity.
    """

    def __init__(self, text: str, source: Path | str) -> None:
        rows = [(row, line) for row, line in csv_rows(text.removeprefix(BYTE_ORDER_MARK), source) if any(row)]
        self._source = source
        self._values = [unescape_formula(name) for name in rows[0][0][len(KEY_COLUMNS) :]]
        self._rows = rows[1:]
        if not self._rows:
            raise source_error(source, "has no rows")
        origins = {(row[0].strip(), whole_number(row[1])) for row, _ in self._rows if len(row) > 1}
        if len(origins) > 1:
            raise source_error(source, "its rows name several conditions or revisions; a sheet must be of one")
        self.condition, self.revision = origins.pop() if origins else ("", "")

    @staticmethod
    def recognises(text: str, source: Path | str) -> bool:
        """Whether a CSV text is the sheet of an affinity, by its heading."""
        first = next(csv_rows(text.removeprefix(BYTE_ORDER_MARK), source), ([], 1))[0]
        return tuple(name.strip().lower() for name in first[: len(KEY_COLUMNS)]) == KEY_COLUMNS

    def apply(self, bank: Bank, base: Bank) -> Bank:
        """The bank with the changes of the sheet (three-way merge).

        A changed number becomes a correction; an emptied cell reverts one.

        Args:
            bank: the current bank.
            base: the bank from which the sheet was exported.

        Raises:
            BankError: with all problems; a cell that also changed in the bank is one.
        """
        before, now = (_condition(each, self.condition, self._source) for each in (base, bank))
        problems: list[Problem] = []
        wanted: dict[tuple[str, str], float | None] = {}
        labels = [label.name for label in bank.labels]
        for value in self._values:
            if value not in now.values:
                problems.append(
                    Problem("", f"there is no value '{value}'; there are {suggestions(value, now.values)}", 1)
                )
        twice = {value for value in self._values if self._values.count(value) > 1}
        problems += [Problem("", f"two columns are called '{value}'; remove one", 1) for value in sorted(twice)]
        first: dict[str, int] = {}
        for row, line in self._rows:
            label = unescape_formula(row[len(KEY_COLUMNS) - 1]) if len(row) >= len(KEY_COLUMNS) else ""
            if label not in labels:
                message = f"there is no label '{label}'; there are {suggestions(label, labels)}"
                problems.append(Problem("", message, line))
                continue
            if first.setdefault(label, line) != line:
                problems.append(Problem("", f"'{label}' has a row at line {first[label]} already; remove one", line))
            for value, text in zip(self._values, row[len(KEY_COLUMNS) :], strict=False):
                if value in now.values:
                    _read_cell(before, now, label, value, text.strip(), line, wanted, problems)
        if problems:
            raise BankError(self._source, problems)
        return correct_all(bank, self.condition, wanted)


def _read_cell(
    before: Condition,
    now: Condition,
    label: str,
    value: str,
    text: str,
    line: int,
    wanted: dict[tuple[str, str], float | None],
    problems: list[Problem],
) -> None:
    """Parse a cell, and add its change to `wanted` or its problem to `problems`."""
    place = f"{label} under {value}"
    if text and not NUMBER.fullmatch(text):
        problems.append(Problem(place, f"'{text[:40]}' is not a number", line))
        return
    was = cell_lift(before, label, value) if value in before.values else None
    try:
        number = LIFT.validate_python(float(text.replace(",", "."))) if text else None
    except ValidationError as error:
        problems += [Problem(place, describe_error(found), line) for found in error.errors()]
        return
    if number == was:
        return
    there = cell_lift(now, label, value)
    if there not in (was, number):
        message = (
            f"was {_number_text(was)}; it is {_number_text(number)} here and {_number_text(there)} in the bank: "
            "make the two the same"
        )
        problems.append(Problem(place, message, line))
        return
    wanted[label, value] = number


def _number_text(number: float | None) -> str:
    return "empty" if number is None else f"{number:g}"


def _condition(bank: Bank, condition_id: str, source: Path | str) -> Condition:
    ids: Sequence[str] = [c.id for c in bank.conditions]
    if condition_id not in ids:
        raise source_error(
            source, f"there is no condition '{condition_id}'; there are {suggestions(condition_id, ids)}"
        )
    return bank.conditions[ids.index(condition_id)]
