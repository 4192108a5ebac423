"""Load, record and keep banks: locked, atomic, every recorded revision kept beside the file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from prompt_bank.checks import check
from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.locate import Located, Place, SyntaxProblem, written
from prompt_bank.migrations import UnknownFormat, migrate
from prompt_bank.schema import Bank, Revision


@dataclass(frozen=True)
class LoadedBank:
    """A bank as it stands in a file.

    Attributes:
        bank: the content.
        path: the file.
        edited: the content is not that of the newest recorded revision: a person changed it by hand.
        warnings: doubts that don't keep it from being used.
    """

    bank: Bank
    path: Path
    edited: bool
    warnings: tuple[Problem, ...]

    @property
    def hash(self) -> str:
        """The content's hash."""
        return content_hash(self.bank)


def dumps(bank: Bank) -> str:
    """The file's text: UTF-8, two spaces of indent, keys in the schema's order, a line break at the end."""
    return json.dumps(bank.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"


def content_hash(bank: Bank) -> str:
    """ "sha256:…" over everything but the history."""
    content = bank.model_dump(mode="json", by_alias=True, exclude={"history"})
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def loads(text: str, source: Path | str = "bank") -> tuple[Bank, tuple[Problem, ...]]:
    """A bank and its warnings from a file's text.

    Raises:
        BankError: with all problems at once, each with place and line.
    """
    try:
        located = Located(text.removeprefix("\ufeff"))
    except SyntaxProblem as error:
        raise BankError(source, [Problem("", str(error), error.line)]) from error
    if not isinstance(located.value, dict):
        raise BankError(source, [Problem("", "a bank is a JSON object {…}", 1)])
    try:
        bank = Bank.model_validate(migrate(located.value))
    except UnknownFormat as error:
        raise BankError(source, [Problem("format", str(error), located.line(("format",)))]) from error
    except ValidationError as error:
        raise BankError(source, [_typed(problem, located) for problem in error.errors()]) from error
    found = [Problem(p.place, p.message, located.line(place), p.severity) for place, p in check(bank)]
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise BankError(source, errors)
    return bank, tuple(found)


def load(path: Path) -> LoadedBank:
    """Read a bank; a hand edit is noticed and welcome.

    Raises:
        BankError: the file is missing, unreadable or wrong; all problems at once.
    """
    bank, warnings = loads(_read(path), path)
    edited = not bank.history or bank.history[-1].hash != content_hash(bank)
    return LoadedBank(bank, path, edited, warnings)


def record(bank: Bank, path: Path, *, by: str, did: str, expected_hash: str | None = None) -> Bank:
    """Write a changed bank as a new revision, atomically and under a lock; the revision's copy is kept.

    Args:
        bank: the new content; its revision and history are taken from the file, if there is one.
        path: the file.
        by: "miner" or a person's name.
        did: what was done, one line.
        expected_hash: of the content that the change was made to; None takes whatever is there.

    Returns:
        The bank as written.

    Raises:
        BankError: the new content is not a valid bank.
        BankConflict: the file's content is another than `expected_hash`.
        OSError: it cannot be written; the old file is untouched then.
    """
    loads(dumps(bank), path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        before = load(path) if path.exists() else None
        if expected_hash is not None and (before is None or before.hash != expected_hash):
            raise BankConflict(
                path,
                [Problem("", "the file has changed since it was read; nothing was written. Read it again and repeat")],
            )
        history = before.bank.history if before else ()
        number = (before.bank.revision if before else 0) + 1
        numbered = bank.model_copy(update={"revision": number})
        entry = Revision(revision=number, at=now(), by=by, did=did, hash=content_hash(numbered))
        written_bank = numbered.model_copy(update={"history": (*history, entry)})
        _keep(written_bank, path)
        replace(path, dumps(written_bank))
    return written_bank


def versions(path: Path) -> Path:
    """The folder beside a bank in which its revisions are kept."""
    return path.with_name(f"{path.stem}.versions")


def now() -> str:
    """UTC, in the bank's form."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def replace(path: Path, text: str) -> None:
    """Write a file so that a crash at any instant leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _keep(bank: Bank, path: Path) -> None:
    """Add the revision's copy, named by number and content; one that is there is never changed."""
    folder = versions(path)
    folder.mkdir(exist_ok=True)
    digest = content_hash(bank).removeprefix("sha256:")
    copy = folder / f"{bank.revision:05d}-{digest[:16]}.json"
    if not copy.exists():
        replace(copy, dumps(bank))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise BankError(path, [Problem("", "there is no such file; fedmpt mine-conditions writes a bank")]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BankError(path, [Problem("", "not UTF-8; save the file as UTF-8", line)]) from error
    except OSError as error:
        raise BankError(path, [Problem("", f"cannot be read: {error.strerror}")]) from error


def _typed(error: Any, located: Located) -> Problem:
    """A problem of pydantic's, in our words and with its line."""
    place: Place = tuple(error["loc"])
    kind, message = error["type"], str(error["msg"])
    if kind == "extra_forbidden":
        message = "is not a field of a bank; remove it or mend its spelling"
    elif kind == "missing":
        message = "is missing"
    return Problem(written(place), message, located.line(place))
