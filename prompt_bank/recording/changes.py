"""A change to a bank's file, by a command or a page: made to what is there now, recorded as a revision of its own."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prompt_bank.editing.conditions import with_origins
from prompt_bank.editing.diff import Change, diff
from prompt_bank.errors import BankConflict, BankError
from prompt_bank.recording.revisions import newest
from prompt_bank.recording.store import LoadedBank, content_hash, load, record
from prompt_bank.schema import Bank

TRIES = 5
"""How often a change is made anew because another writer was faster."""


@dataclass(frozen=True)
class Recorded:
    """What became of a change.

    Attributes:
        bank: the content now.
        written: a revision was recorded; false where there was nothing to change.
        changes: what the change did.
        hand_edit: the revision in which an unrecorded edit by hand was recorded first; None where there was none.
    """

    bank: Bank
    written: bool
    changes: tuple[Change, ...] = ()
    hand_edit: int | None = None


def change(path: Path, edit: Callable[[Bank], Bank], *, by: str, did: str) -> Recorded:
    """Apply an edit to a bank's file and record it.

    What a person changed by hand and has not recorded yet becomes a revision of its own first, so that no revision
    mixes two people's work. Where another writer is faster, the edit is made anew to what that one wrote.

    Args:
        path: the file.
        edit: from the bank to the changed one.
        by: who does it.
        did: what it does, one line.

    Raises:
        BankError: the file or the edit is bad; nothing was written then.
        BankConflict: other writers were faster each time.
        OSError: it cannot be written.
    """
    hand_edit = None
    for left in reversed(range(TRIES)):
        loaded = load(path)
        try:
            changed = edit(loaded.bank).model_copy(update={"revision": loaded.bank.revision})
        except BankError as error:
            raise BankError(path, error.problems) from error  # an edit knows the bank's name alone
        if content_hash(changed) == loaded.hash:
            return Recorded(loaded.bank, False, (), hand_edit)
        try:
            if loaded.edited:
                hand_edit = record_hand_edit(loaded, by).bank.revision
                loaded = load(path)
            written = record(edit(loaded.bank), path, by=by, did=did, expected_hash=loaded.hash)
        except BankConflict:
            if not left:
                raise
            continue
        return Recorded(written, True, diff(loaded.bank, written), hand_edit)
    raise AssertionError("the last try returns or raises")


def record_hand_edit(loaded: LoadedBank, by: str, did: str = "edited by hand") -> Recorded:
    """Record what a person changed in the file itself; the conditions that he changed become edited ones.

    Raises:
        BankConflict: the file has changed since it was loaded.
        OSError: it cannot be written.
    """
    before = newest(loaded)
    marked = with_origins(before, loaded.bank) if before else loaded.bank
    written = record(marked, loaded.path, by=by, did=did, expected_hash=loaded.hash)
    return Recorded(written, True, diff(before, written) if before else ())


def who(by: str | None) -> str:
    """Who changes a bank: as named, else who runs the program."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
