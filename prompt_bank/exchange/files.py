"""Exports banks to files of other programs, and imports changes from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fedmpt.common.files import write_atomically
from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange import label_studio, matrix_sheet, spreadsheet
from prompt_bank.exchange.formats import Format
from prompt_bank.exchange.rewriting import source_error
from prompt_bank.exchange.three_way import merge_edits
from prompt_bank.recording.changes import ChangeResult, apply_change
from prompt_bank.recording.revisions import find_revision
from prompt_bank.recording.store import load
from prompt_bank.schema import Bank

FORMAT_OF_SUFFIX = {".csv": Format.CSV, ".json": Format.LABEL_STUDIO}


def format_of(file: Path, named: Format | None) -> Format:
    """The given format, or the one of the file's suffix.

    Raises:
        BankError: no format is given, and the suffix is unknown.
    """
    found = named or FORMAT_OF_SUFFIX.get(file.suffix.lower())
    if found is None:
        known = ", ".join(f"{suffix} ({form})" for suffix, form in FORMAT_OF_SUFFIX.items())
        raise source_error(file, f"unknown suffix; use {known}, or --format")
    return found


def export(bank: Bank, file: Path, form: Format, overwrite: bool, affinity: str | None = None) -> list[Path]:
    """Export a bank.

    Args:
        bank: the bank.
        file: the file to write.
        form: its format.
        overwrite: whether to replace existing files.
        affinity: the id of a condition whose affinity is exported as a spreadsheet; None exports the conditions.

    Returns:
        The written files.

    Raises:
        BankError: a file exists (it may contain a person's work), or there is no such condition.
        OSError: a file cannot be written.
    """
    if affinity is not None and form is not Format.CSV:
        raise source_error(file, "an affinity can only be exported as a spreadsheet; name a .csv file")
    if affinity is not None:
        texts = {file: matrix_sheet.dump(bank, affinity, file)}
    else:
        texts = {file: spreadsheet.dump(bank)} if form is Format.CSV else _label_studio(bank, file)
    there = [path for path in texts if path.exists()]
    if there and not overwrite:
        raise BankError(there[0], [Problem("", "already exists; choose another name, or replace it with --force")])
    for path, text in texts.items():
        write_atomically(path, text)
    return [*texts]


def import_changes(
    path: Path, file: Path, form: Format, *, by: str, did: str, remove_missing: bool
) -> tuple[ChangeResult, list[str]]:
    """Import the changes that people made in an exported file, and record them.

    Args:
        path: the bank file.
        file: the edited export.
        form: its format.
        by: the author of the revision.
        did: the message of the revision.
        remove_missing: whether to remove conditions that have no row in the file.

    Returns:
        The result, and notes for the user.

    Raises:
        BankError: with all problems; nothing was written.
        OSError: a file cannot be read or written.
    """
    text = _read_text(file)
    notes: list[str] = []
    edit: Callable[[Bank], Bank]
    if form is Format.CSV and matrix_sheet.MatrixSheet.recognises(text, file):
        matrix = matrix_sheet.MatrixSheet(text, file)

        def edit(bank: Bank) -> Bank:
            return matrix.apply(bank, _base_revision(path, matrix.revision, file) if matrix.revision else bank)

    elif form is Format.CSV:
        sheet = spreadsheet.read(text, file)

        def edit(bank: Bank) -> Bank:
            base = _base_revision(path, sheet.revision, file) if sheet.revision else bank
            missing = [name for name in spreadsheet.missing(sheet, base) if name in {c.id for c in bank.conditions}]
            notes[:] = sheet.warnings
            if missing and not remove_missing:
                notes.append(f"not in the file, left unchanged: {', '.join(missing)} (--remove-missing removes them)")
            changes = spreadsheet.edits(sheet, base, file)
            return merge_edits(bank, changes, file, missing if remove_missing else ())

    else:

        def edit(bank: Bank) -> Bank:
            return merge_edits(bank, label_studio.edits(text, bank, file), file)

    return apply_change(path, edit, by=by, did=did), notes


def _base_revision(path: Path, revision: str, file: Path) -> Bank:
    """The revision from which a file was exported."""
    try:
        return find_revision(load(path), revision)
    except BankError as error:
        hint = "without the column revision the file is compared with the current bank"
        raise BankError(file, [*error.problems, Problem("", hint)]) from error


def _label_studio(bank: Bank, file: Path) -> dict[Path, str]:
    return {file: label_studio.dump(bank), file.with_suffix(".xml"): label_studio.CONFIG}


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise source_error(file, "is not UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)") from error
    except OSError as error:
        raise source_error(file, f"cannot be read: {error.strerror}") from error
