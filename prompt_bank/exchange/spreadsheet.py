"""Conditions as CSV for a spreadsheet, one a row, and back. Nothing in a cell is ever a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange.rewriting import EDITABLE_FIELDS, source_error
from prompt_bank.exchange.three_way import ConditionEdit, FieldChange
from prompt_bank.reading.validation import BYTE_ORDER_MARK
from prompt_bank.schema import Bank, Condition

READ_ONLY_COLUMNS = ("support", "origin", "example", "revision")
"""Columns that tell a person something and are not read back, but for `revision`: what the sheet was made of."""

COLUMNS = ("id", *EDITABLE_FIELDS, *READ_ONLY_COLUMNS)

FORMULA = re.compile(r"'*[=+\-@|\t\r\n＝＋－＠]")
"""How a cell begins that a spreadsheet could run, or that was kept from being run already."""

DELIMITERS = (",", ";", "\t")
SEPARATOR = "; "
"""Between the values in a cell; a semicolon that belongs to a value has a backslash before it."""


@dataclass(frozen=True)
class Sheet:
    """A spreadsheet that came back.

    Attributes:
        rows: the cells of each row by their column, as they stand there.
        lines: the line of each row.
        revision: of the bank that it was made of, "" where it does not say.
        warnings: what was passed over.
    """

    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]
    revision: str
    warnings: tuple[str, ...]


def dump(bank: Bank) -> str:
    """The sheet's text, with the mark that tells spreadsheets that it is UTF-8."""
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
    """The rows of a sheet, whatever the spreadsheet separates cells with.

    Raises:
        BankError: it is no such sheet.
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
        raise source_error(source, f"has no column id and none called text; there may be {', '.join(COLUMNS)}", first)
    unknown = [column for column in columns if column and column not in COLUMNS]
    warnings = (f"columns that a bank does not have were passed over: {', '.join(unknown)}",) if unknown else ()
    rows: list[dict[str, str]] = []
    at: list[int] = []
    for cells, line in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(columns) :]):
            raise source_error(source, f"the row has {len(cells)} cells, the heading {len(columns)}", line)
        rows.append({column: cell for column, cell in zip(columns, cells, strict=False) if column in COLUMNS})
        at.append(line)
    revisions = sorted({row["revision"].strip() for row in rows if row.get("revision", "").strip()})
    if len(revisions) > 1:
        raise source_error(source, f"rows are of different revisions of the bank: {', '.join(revisions)}")
    return Sheet(tuple(rows), tuple(at), revisions[0] if revisions else "", warnings)


def edits(sheet: Sheet, base: Bank, source: Path | str) -> list[ConditionEdit]:
    """What people changed in a sheet.

    Args:
        sheet: as it came back.
        base: the bank that it was made of.
        source: what the problems name.

    Raises:
        BankError: a row is about a condition that the sheet cannot have been made with.
    """
    known = {c.id: c for c in base.conditions}
    problems: list[Problem] = []
    found = []
    for number, (row, line) in enumerate(zip(sheet.rows, sheet.lines, strict=True), 1):
        name = row.get("id", "").strip()
        condition = known.get(name)
        if name and condition is None:
            problems.append(Problem(f"row {number}", f"there is no condition '{name}'; a new one has no id", line))
            continue
        cells = {field: row[field] for field in EDITABLE_FIELDS if field in row}
        changed = _new(cells) if condition is None else _changed(cells, condition)
        found.append(ConditionEdit(f"row {number}", line, name, changed))
    if problems:
        raise BankError(source, problems)
    return found


def missing(sheet: Sheet, base: Bank) -> list[str]:
    """Ids of the conditions that the sheet was made with and no longer has."""
    there = {row.get("id", "").strip() for row in sheet.rows}
    return [c.id for c in base.conditions if c.id not in there]


def csv_rows(text: str, source: Path | str) -> Iterator[tuple[list[str], int]]:
    """Each record with the line on which it begins."""
    skipped, delimiter = 0, None
    named = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)  # how Excel names its delimiter
    if named:
        text, skipped, delimiter = text[named.end() :], 1, named[1]
    heading = text.split("\n", 1)[0]
    chosen = delimiter or max(DELIMITERS, key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=chosen, strict=True)
    line = 1
    try:
        for cells in reader:
            yield cells, line + skipped
            line = reader.line_num + 1
    except csv.Error as error:
        raise source_error(source, f"is not CSV: {error}", line + skipped) from error


def _cells(condition: Condition) -> dict[str, str]:
    """The cells of what a person may change."""
    return {
        "id": condition.id,
        "text": escape_formula(condition.text),
        "status": condition.status,
        "definition": escape_formula(condition.definition),
        "values": escape_formula(SEPARATOR.join(_escaped(value) for value in condition.values)),
        "note": escape_formula(condition.note),
    }


def _changed(cells: dict[str, str], condition: Condition) -> dict[str, FieldChange]:
    """The fields whose cells are no longer those that the condition had."""
    before, content = _cells(condition), condition.model_dump(mode="json")
    return {
        field: FieldChange(content[field], _value(field, cell))
        for field, cell in cells.items()
        if _unified_line_breaks(cell) != _unified_line_breaks(before[field])
    }


def _new(cells: dict[str, str]) -> dict[str, FieldChange]:
    """The fields of a new condition; an empty status is a proposal."""
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
    """The text without the apostrophe that `safe` has put before it."""
    return text[1:] if FORMULA.match(text) and text.startswith("'") else text


def escape_formula(text: str) -> str:
    """The text behind an apostrophe if a spreadsheet could take it for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def _unified_line_breaks(text: str) -> str:
    """With the line breaks that a spreadsheet may have made others."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
