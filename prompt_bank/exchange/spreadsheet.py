"""Conditions as a CSV spreadsheet, one per row. No cell can be run as a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedmpt.common.tables import SEPARATOR_LINE, delimiter_of
from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange.rewriting import EDITABLE_FIELDS, source_error
from prompt_bank.exchange.three_way import ConditionEdit, FieldChange
from prompt_bank.reading.validation import BYTE_ORDER_MARK
from prompt_bank.schema import Bank, Condition

READ_ONLY_COLUMNS = ("support", "origin", "example", "revision")
"""Columns for information only, except for `revision`, which identifies the exported revision."""

COLUMNS = ("id", *EDITABLE_FIELDS, *READ_ONLY_COLUMNS)

FORMULA = re.compile(r"'*[=+\-@|\t\r\n＝＋－＠]")
"""The start of a cell that a spreadsheet could run as a formula, or that has been escaped already."""

SEPARATOR = "; "
"""Separates the values in a cell; semicolons within a value are escaped with a backslash."""


@dataclass(frozen=True)
class Sheet:
    """A parsed spreadsheet.

    Attributes:
        rows: for each row its raw cells by column.
        lines: the line number of each row.
        revision: the exported revision; "" if the sheet does not name it.
        warnings: about ignored columns.
    """

    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]
    revision: str
    warnings: tuple[str, ...]


def dump(bank: Bank) -> str:
    """The sheet as CSV. It starts with a byte order mark, by which spreadsheets recognise UTF-8."""
    captions = {caption.id: caption.text for caption in bank.captions}
    revision = str(bank.history[-1].revision) if bank.history else ""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for condition in bank.conditions:
        cells = _cells(condition)
        cells["support"] = "" if condition.support is None else f"{condition.support:g}"
        cells["origin"] = condition.origin
        cells["example"] = escape_formula(captions[condition.evidence[0]]) if condition.evidence else ""
        cells["revision"] = revision
        writer.writerow([cells[column] for column in COLUMNS])
    return BYTE_ORDER_MARK + file.getvalue()


def read(text: str, source: Path | str) -> Sheet:
    """Parse a sheet; a comma, semicolon, tab or | may separate its cells.

    Raises:
        BankError: the text is not a sheet of conditions.
    """
    text = text.removeprefix(BYTE_ORDER_MARK)
    if not text.strip():
        raise source_error(source, "is empty")
    lines = csv_rows(text, source)
    heading, first = next(lines)
    columns = [cell.strip().lower() for cell in heading]
    twice = {column for column in columns if columns.count(column) > 1 and column in COLUMNS}
    if twice:
        raise source_error(source, f"the column '{min(twice)}' occurs twice", first)
    if "id" not in columns and "text" not in columns:
        raise source_error(
            source, f"has neither a column id nor a column text; the columns are {', '.join(COLUMNS)}", first
        )
    unknown = [column for column in columns if column and column not in COLUMNS]
    warnings = (f"unknown columns were ignored: {', '.join(unknown)}",) if unknown else ()
    rows: list[dict[str, str]] = []
    at: list[int] = []
    for cells, line in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise source_error(source, f"the row has {len(cells)} cells, the heading {len(columns)}", line)
        rows.append({column: cell for column, cell in zip(columns, cells, strict=False) if column in COLUMNS})
        at.append(line)
    named = {whole_number(row["revision"]) for row in rows if "revision" in row}
    revisions = sorted(named - {""})
    if len(revisions) > 1:
        raise source_error(source, f"the rows are from different revisions: {', '.join(revisions)}")
    return Sheet(tuple(rows), tuple(at), revisions[0] if revisions else "", warnings)


def edits(sheet: Sheet, base: Bank, source: Path | str) -> list[ConditionEdit]:
    """The changes in a sheet.

    Args:
        sheet: the parsed sheet.
        base: the bank from which it was exported.
        source: the file that the problems refer to.

    Raises:
        BankError: a row names a condition that is not in the exported bank.
    """
    known = {c.id: c for c in base.conditions}
    problems: list[Problem] = []
    found = []
    for number, (row, line) in enumerate(zip(sheet.rows, sheet.lines, strict=True), 1):
        name = row.get("id", "").strip()
        condition = known.get(name)
        if name and condition is None:
            problems.append(
                Problem(f"row {number}", f"there is no condition '{name}'; leave out the id of a new condition", line)
            )
            continue
        cells = {field: row[field] for field in EDITABLE_FIELDS if field in row}
        changed = _new(cells) if condition is None else _changed(cells, condition)
        found.append(ConditionEdit(f"row {number}", line, name, changed))
    if problems:
        raise BankError(source, problems)
    return found


def missing(sheet: Sheet, base: Bank) -> list[str]:
    """The ids of the exported conditions that have no row in the sheet."""
    there = {row.get("id", "").strip() for row in sheet.rows}
    return [c.id for c in base.conditions if c.id not in there]


def csv_rows(text: str, source: Path | str) -> Iterator[tuple[list[str], int]]:
    """The records of a CSV text, each with its first line number; the delimiter is detected."""
    skipped, delimiter = 0, None
    named = SEPARATOR_LINE.match(text)
    if named:
        text, skipped, delimiter = text[named.end() :], 1, named[1]
    heading = re.split(r"[\r\n]", text, maxsplit=1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or delimiter_of(heading), strict=True)
    line = 1
    try:
        for cells in reader:
            yield cells, line + skipped
            line = reader.line_num + 1
    except csv.Error as error:
        raise source_error(source, f"is not CSV: {error}", line + skipped) from error


def _cells(condition: Condition) -> dict[str, str]:
    """The cells of the editable columns and the id."""
    return {
        "id": condition.id,
        "text": escape_formula(condition.text),
        "status": condition.status,
        "definition": escape_formula(condition.definition),
        "values": escape_formula(SEPARATOR.join(_escaped(value) for value in condition.values)),
        "note": escape_formula(condition.note),
    }


def _changed(cells: dict[str, str], condition: Condition) -> dict[str, FieldChange]:
    """The fields whose cells differ from the exported ones."""
    before, content = _cells(condition), condition.model_dump(mode="json")
    return {
        field: FieldChange(content[field], _value(field, cell))
        for field, cell in cells.items()
        if _unified_line_breaks(cell) != _unified_line_breaks(before[field])
    }


def _new(cells: dict[str, str]) -> dict[str, FieldChange]:
    """The fields of a new condition; empty cells take the default."""
    given = {field: cell for field, cell in cells.items() if cell.strip() or field == "text"}
    return {field: FieldChange(None, _value(field, cell)) for field, cell in given.items()}


def _value(field: str, cell: str) -> str | list[str]:
    text = unescape_formula(_unified_line_breaks(cell))
    if field == "values":
        parts = re.findall(r"(?:\\.|[^;\\]|\\$)+", text, re.DOTALL)
        return [re.sub(r"\\(.)", r"\1", part.strip(), flags=re.DOTALL) for part in parts if part.strip()]
    if field == "status":
        return text.strip().lower()
    return text.strip()


def _escaped(value: str) -> str:
    return re.sub(r"([;\\])", r"\\\1", value)


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`."""
    return text[1:] if FORMULA.match(text) and text.startswith("'") else text


def whole_number(cell: str) -> str:
    """The cell without the .0 that pandas appends to whole numbers if a row has none."""
    return re.sub(r"^(\d+)\.0$", r"\1", cell.strip())


def escape_formula(text: str) -> str:
    """The text, after an apostrophe if a spreadsheet could take it for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def _unified_line_breaks(text: str) -> str:
    """The text with all line breaks as LF; spreadsheets convert them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
