"""Applies an edit to a bank file and records the result as a revision; used by the commands."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prompt_bank.editing.conditions import update_origins
from prompt_bank.editing.diff import Change, diff
from prompt_bank.errors import BankConflict, BankError
from prompt_bank.recording.revisions import newest_revision
from prompt_bank.recording.store import LoadedBank, content_hash, load, record
from prompt_bank.schema import Bank

MAX_ATTEMPTS = 5
"""How often an edit is tried if other writers change the file at the same time."""


@dataclass(frozen=True)
class ChangeResult:
    """The result of a change.

    Attributes:
        bank: the bank after the change.
        written: whether a revision was recorded; false if the edit changed nothing.
        changes: the differences that the edit made.
        hand_edit: the number of the revision in which an unrecorded hand edit was recorded first; None if there was
            none.
    """

    bank: Bank
    written: bool
    changes: tuple[Change, ...] = ()
    hand_edit: int | None = None


def apply_change(path: Path, edit: Callable[[Bank], Bank], *, by: str, did: str) -> ChangeResult:
    """Apply an edit to a bank file and record the result.

    An unrecorded hand edit is recorded first, as a separate revision, so that no revision mixes two people's work. If
    another writer changes the file in between, the edit is applied again to the new content.

    Args:
        path: the bank file.
        edit: a function from a bank to the changed bank.
        by: the author of the revision.
        did: the message of the revision, one line.

    Raises:
        BankError: the file or the edit is invalid; the edit was not recorded.
        BankConflict: other writers changed the file during each of MAX_ATTEMPTS attempts.
        OSError: the file cannot be written.
    """
    hand_edit = None
    for left in reversed(range(MAX_ATTEMPTS)):
        loaded = load(path)
        try:
            changed = edit(loaded.bank).model_copy(update={"revision": loaded.bank.revision})
        except BankError as error:
            # An edit knows only the bank's name, not its path; an import names the file that it read.
            source = error.source if isinstance(error.source, Path) else path
            raise BankError(source, error.problems) from error
        if content_hash(changed) == loaded.hash:
            return ChangeResult(loaded.bank, False, (), hand_edit)
        try:
            if loaded.edited:
                hand_edit = record_hand_edit(loaded, by).bank.revision
                loaded = load(path)
            written = record(edit(loaded.bank), path, by=by, did=did, expected_hash=loaded.hash)
        except BankConflict:
            if not left:
                raise
            continue
        return ChangeResult(written, True, diff(loaded.bank, written), hand_edit)
    raise AssertionError("the last try returns or raises")


def record_hand_edit(loaded: LoadedBank, by: str, did: str = "edited by hand") -> ChangeResult:
    """Record a hand edit of the file as a revision, with origins and corrections set.

    Raises:
        BankConflict: the file has changed since it was loaded.
        OSError: the file cannot be written.
    """
    before = newest_revision(loaded)
    marked = update_origins(before, loaded.bank) if before else loaded.bank
    written = record(marked, loaded.path, by=by, did=did, expected_hash=loaded.hash)
    return ChangeResult(written, True, diff(before, written) if before else ())


def who(by: str | None) -> str:
    """The author of a change: the given name, or the name of the user who runs the program."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
