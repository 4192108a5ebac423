"""Restores a recorded revision, even if the bank file is unreadable or missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from prompt_bank.errors import BankError
from prompt_bank.recording.changes import ChangeResult, apply_change
from prompt_bank.recording.revisions import find_revision
from prompt_bank.recording.store import LoadedBank, load, record, versions_folder
from prompt_bank.schema import Bank


@dataclass(frozen=True)
class RestoreResult:
    """The result of a restore.

    Attributes:
        result: the restored bank and its differences from the previous content.
        moved_to: the new path of an unreadable bank file; None if the file was readable or missing.
    """

    result: ChangeResult
    moved_to: Path | None


def restore(path: Path, wanted: str, *, by: str) -> RestoreResult:
    """Record the content of an earlier revision as a new revision.

    An unrecorded hand edit is recorded first. An unreadable bank file is renamed, and its history is taken from the
    newest intact copy.

    Args:
        path: the bank file.
        wanted: a revision number, at least four digits of a hash, or "newest".
        by: the author of the revision.

    Raises:
        BankError: there is no such revision, or no intact copy is left.
        OSError: the file cannot be written.
    """
    try:
        loaded = load(path)
    except BankError as error:
        return _restore_unreadable(path, wanted, by, error)
    content = find_revision(loaded, wanted)
    did = f"restored revision {content.revision}"
    return RestoreResult(apply_change(path, lambda bank: _with_history_of(content, bank), by=by, did=did), None)


def _restore_unreadable(path: Path, wanted: str, by: str, broken: BankError) -> RestoreResult:
    path = path.resolve()
    last = _newest_copy(path)
    if last is None:
        raise broken
    content = find_revision(last, wanted)
    moved_to = None
    if path.exists():
        moved_to = _unused_name(path)
        path.rename(moved_to)
    did = f"restored revision {content.revision}; the file could not be read"
    return RestoreResult(
        ChangeResult(record(_with_history_of(content, last.bank), path, by=by, did=did), True), moved_to
    )


def _with_history_of(content: Bank, bank: Bank) -> Bank:
    """An earlier content with the current history of the bank."""
    return content.model_copy(update={"revision": bank.revision, "history": bank.history})


def _newest_copy(path: Path) -> LoadedBank | None:
    """The newest intact copy of a bank, loaded as if from the bank's path; None if there is none."""
    for copy in sorted(versions_folder(path).glob("*.json"), reverse=True):
        try:
            loaded = load(copy)
        except BankError:  # damaged; try an older copy
            continue
        if not loaded.edited:
            return replace(loaded, path=path)
    return None


def _unused_name(path: Path) -> Path:
    """An unused path next to the file."""
    number = 1
    while (moved_to := path.with_name(f"{path.stem}.broken-{number}{path.suffix}")).exists():
        number += 1
    return moved_to
