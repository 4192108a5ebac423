"""Finds recorded revisions by number or hash, and verifies their copies against the hashes in the history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from prompt_bank.errors import BankError, Problem
from prompt_bank.recording.store import LoadedBank, copy_name, load, versions_folder
from prompt_bank.schema import Bank, Revision

HASH_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
"""A hash prefix that names a revision: at least four digits."""


@dataclass(frozen=True)
class StoredRevision:
    """A recorded revision and the state of its copy.

    Attributes:
        entry: its entry in the history.
        state: "kept" if the copy is intact, "missing" if there is none, "damaged" if its content has another hash.
        bank: the content; None unless the copy is intact.
        problem: what is wrong and what to do; "" if the copy is intact.
    """

    entry: Revision
    state: Literal["kept", "missing", "damaged"]
    bank: Bank | None
    problem: str


def newest_revision(loaded: LoadedBank) -> Bank | None:
    """The content of the newest revision; None if nothing was recorded or its copy is missing or damaged."""
    history = loaded.bank.history
    return read_revision(loaded, history[-1]).bank if history else None


def read_revision(loaded: LoadedBank, entry: Revision) -> StoredRevision:
    """Read and verify a revision. If the bank file has no hand edit, it serves as the copy of the newest revision."""
    history = loaded.bank.history
    if not loaded.edited and entry == history[-1]:
        return StoredRevision(entry, "kept", loaded.bank, "")
    path = versions_folder(loaded.path.resolve()) / copy_name(entry.revision, entry.hash)
    if not path.exists():
        return StoredRevision(entry, "missing", None, f"{path} is missing; restore it from git or a backup")
    try:
        copy = load(path)
    except BankError as error:
        return StoredRevision(
            entry, "damaged", None, f"{path} is damaged; restore it from git or a backup ({error.problems[0]})"
        )
    if copy.edited or copy.bank.history[-1].hash != entry.hash:
        return StoredRevision(
            entry, "damaged", None, f"{path} was changed after it was recorded; restore it from git or a backup"
        )
    return StoredRevision(entry, "kept", copy.bank, "")


def find_revision(loaded: LoadedBank, wanted: str) -> Bank:
    """The content of a revision.

    Args:
        loaded: the bank file.
        wanted: a revision number, at least four digits of a hash, or "newest".

    Raises:
        BankError: there is no such revision, the name is ambiguous, or the copy is missing or damaged.
    """
    history, source = loaded.bank.history, loaded.path
    if not history:
        _fail(source, "nothing has been recorded yet; fedmpt bank commit records the bank")
    if wanted == "newest":
        found = [history[-1]]
    else:
        # Numbers take precedence: a hash may start with digits only.
        found = [entry for entry in history if str(entry.revision) == wanted]
        prefix = HASH_PREFIX.fullmatch(wanted)
        if not found and prefix:
            found = [entry for entry in history if entry.hash.startswith(f"sha256:{prefix[1]}")]
    if len(found) > 1:
        listed = "; ".join(f"{e.hash[7:19]} (revision {e.revision} by {e.by}: {e.did})" for e in found)
        _fail(source, f"'{wanted}' is ambiguous; name the revision by its hash: {listed}")
    if not found:
        numbers = ", ".join(str(entry.revision) for entry in history[-20:])
        _fail(source, f"there is no revision '{wanted}'; there are {numbers}; a hash names one, too")
    revision = read_revision(loaded, found[0])
    if revision.bank is None:
        _fail(source, f"revision {found[0].revision}: {revision.problem}")
    return revision.bank


def revision_problems(loaded: LoadedBank) -> list[Problem]:
    """One warning for each damaged copy of a revision, and one for all missing copies together."""
    states = [read_revision(loaded, entry) for entry in loaded.bank.history]
    found = [
        Problem(f"history[{number}]", f"revision {state.entry.revision}: {state.problem}", severity="warning")
        for number, state in enumerate(states)
        if state.state == "damaged"
    ]
    missing = [str(state.entry.revision) for state in states if state.state == "missing"]
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        message = (
            f"copies of these revisions are missing from {versions_folder(loaded.path)}: {shown}; restore this folder "
            "from git or a backup"
        )
        found.append(Problem("history", message, severity="warning"))
    return found


def _fail(source: Path, message: str) -> NoReturn:
    raise BankError(source, [Problem("", message)])
