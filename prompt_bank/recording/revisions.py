"""The recorded revisions of a bank: found by number or hash, and checked against what the history says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from prompt_bank.errors import BankError, Problem
from prompt_bank.recording.store import LoadedBank, copy_name, load, versions
from prompt_bank.schema import Bank, Revision

HASH_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
"""How a revision may be named by its content: four digits of its hash or more."""


@dataclass(frozen=True)
class Kept:
    """What is left of a recorded revision.

    Attributes:
        entry: its line in the history.
        state: "kept"; "missing", no copy is left; "damaged", there is one with another content.
        bank: the content; None unless it is kept.
        trouble: what is wrong and what to do; "" where it is kept.
    """

    entry: Revision
    state: Literal["kept", "missing", "damaged"]
    bank: Bank | None
    trouble: str


def newest(loaded: LoadedBank) -> Bank | None:
    """The content of the newest recorded revision; None where nothing was recorded or no good copy is left."""
    history = loaded.bank.history
    return kept(loaded, history[-1]).bank if history else None


def kept(loaded: LoadedBank, entry: Revision) -> Kept:
    """A revision of a bank's history, read and checked. The file, unless edited, is the copy of the newest one."""
    history = loaded.bank.history
    if not loaded.edited and entry == history[-1]:
        return Kept(entry, "kept", loaded.bank, "")
    path = versions(loaded.path.resolve()) / copy_name(entry.revision, entry.hash)
    if not path.exists():
        return Kept(entry, "missing", None, f"{path} is missing; put it back from git or a backup")
    try:
        copy = load(path)
    except BankError as error:
        return Kept(
            entry, "damaged", None, f"{path} is damaged; put it back from git or a backup ({error.problems[0]})"
        )
    if copy.edited or copy.bank.history[-1].hash != entry.hash:
        return Kept(
            entry, "damaged", None, f"{path} was changed after it was recorded; put it back from git or a backup"
        )
    return Kept(entry, "kept", copy.bank, "")


def find(loaded: LoadedBank, wanted: str) -> Bank:
    """The content of the revision that a person names.

    Args:
        loaded: the bank as it stands.
        wanted: a number of the history, at least four digits of a hash, or "newest".

    Raises:
        BankError: there is no such revision, several are called so, or its copy is missing or damaged.
    """
    history, source = loaded.bank.history, loaded.path
    if not history:
        _fail(source, "nothing has been recorded yet; fedmpt bank commit records the bank")
    if wanted == "newest":
        found = [history[-1]]
    else:
        # A number first: a hash may begin with digits alone.
        found = [entry for entry in history if str(entry.revision) == wanted]
        prefix = HASH_PREFIX.fullmatch(wanted)
        if not found and prefix:
            found = [entry for entry in history if entry.hash.startswith(f"sha256:{prefix[1]}")]
    if len(found) > 1:
        listed = "; ".join(f"{e.hash[7:19]} (revision {e.revision} by {e.by}: {e.did})" for e in found)
        _fail(source, f"'{wanted}' may be any of several revisions; name one by its hash: {listed}")
    if not found:
        numbers = ", ".join(str(entry.revision) for entry in history[-20:])
        _fail(source, f"there is no revision '{wanted}'; there are {numbers}, or name one by its hash")
    revision = kept(loaded, found[0])
    if revision.bank is None:
        _fail(source, f"revision {found[0].revision}: {revision.trouble}")
    return revision.bank


def troubles(loaded: LoadedBank) -> list[Problem]:
    """A warning for each recorded revision whose copy is damaged, and one for all whose copies are missing."""
    states = [kept(loaded, entry) for entry in loaded.bank.history]
    found = [
        Problem(f"history[{number}]", f"revision {state.entry.revision}: {state.trouble}", severity="warning")
        for number, state in enumerate(states)
        if state.state == "damaged"
    ]
    missing = [str(state.entry.revision) for state in states if state.state == "missing"]
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        message = (
            f"copies of these revisions are missing from {versions(loaded.path)}: {shown}; put the folder back that "
            "stood beside the bank, from git or a backup"
        )
        found.append(Problem("history", message, severity="warning"))
    return found


def _fail(source: Path, message: str) -> NoReturn:
    raise BankError(source, [Problem("", message)])
