"""Bring a recorded revision back, also where the bank's file itself is broken or gone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from prompt_bank.errors import BankError
from prompt_bank.recording.changes import Recorded, change
from prompt_bank.recording.revisions import find
from prompt_bank.recording.store import LoadedBank, load, record, versions
from prompt_bank.schema import Bank


@dataclass(frozen=True)
class Restored:
    """What became of a restore.

    Attributes:
        recorded: the content now, and how it differs from what was there.
        aside: where a file that could not be read was put; None where the file was good or gone.
    """

    recorded: Recorded
    aside: Path | None


def restore(path: Path, wanted: str, *, by: str) -> Restored:
    """Record what a revision held as a new revision.

    An edit by hand that was not recorded yet is recorded first. A file that cannot be read is put aside, and its
    history is taken from its newest good copy.

    Args:
        path: the bank's file.
        wanted: a number of the history, at least four digits of a hash, or "newest".
        by: who does it.

    Raises:
        BankError: there is no such revision, or nothing is left to restore from.
        OSError: it cannot be written.
    """
    try:
        loaded = load(path)
    except BankError as error:
        return _rescued(path, wanted, by, error)
    content = find(loaded, wanted)
    did = f"restored revision {content.revision}"
    return Restored(change(path, lambda bank: _continuing(content, bank), by=by, did=did), None)


def _rescued(path: Path, wanted: str, by: str, broken: BankError) -> Restored:
    path = path.resolve()
    last = _newest_copy(path)
    if last is None:
        raise broken
    content = find(last, wanted)
    aside = None
    if path.exists():
        aside = _free(path)
        path.rename(aside)
    did = f"restored revision {content.revision}; the file could not be read"
    return Restored(Recorded(record(_continuing(content, last.bank), path, by=by, did=did), True), aside)


def _continuing(content: Bank, bank: Bank) -> Bank:
    """An earlier content under the bank's whole history."""
    return content.model_copy(update={"revision": bank.revision, "history": bank.history})


def _newest_copy(path: Path) -> LoadedBank | None:
    """The last good copy among a bank's versions, as if it stood at the bank's path."""
    for copy in sorted(versions(path).glob("*.json"), reverse=True):
        try:
            loaded = load(copy)
        except BankError:  # a damaged one; an older one may do
            continue
        if not loaded.edited:
            return replace(loaded, path=path)
    return None


def _free(path: Path) -> Path:
    """A name beside the file that nothing has yet."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.broken-{number}{path.suffix}")).exists():
        number += 1
    return aside
