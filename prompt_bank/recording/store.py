"""Load and record banks: locked, atomic, every recorded revision kept beside the file."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedmpt.common.files import locked, remove_leftovers, write_atomically
from prompt_bank.editing.affinities import signed
from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.reading.locate import written
from prompt_bank.reading.validation import BYTE_ORDER_MARK, described, validate
from prompt_bank.schema import SCHEMA_FILE, Bank, Revision

NUMBER = r"(?:-?\d[\d.eE+-]*|null)"
STRING = r'"(?:[^"\\]|\\.)*"'


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


ROW = re.compile(rf"\[\n\s+({NUMBER}(?:,\n\s+{NUMBER})*)\n\s+\]")
CELL = re.compile(
    rf'\{{\n\s+("label": {STRING},)\n\s+("value": {STRING},)\n\s+("mined": {NUMBER},)\n\s+("by": {STRING})\n\s+\}}'
)
"""What is written in one line: no text can look like it, as no line of JSON breaks within a text."""


def dumps(bank: Bank) -> str:
    """The file's text: UTF-8, two spaces of indent, keys in the schema's order, a line break at the end.

    A list of numbers, as a row of an affinity, and a corrected cell stand in one line: so they read in git's diffs.
    """
    content = bank.model_dump(mode="json", by_alias=True)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    text = ROW.sub(lambda row: "[" + re.sub(r",\s+", ", ", row[1]) + "]", text)
    return CELL.sub(lambda cell: "{" + " ".join(cell.groups()) + "}", text) + "\n"


def content_hash(bank: Bank) -> str:
    """ "sha256:…" over everything but the history.

    A bank that says nothing that format 1 could not say keeps the hash that it had there: runs and pages know it by it.
    """
    content = bank.model_dump(mode="json", by_alias=True)
    if not _needs_format_2(bank):
        content["format"] = 1
    return _hash(content)


def _needs_format_2(bank: Bank) -> bool:
    return bool(bank.about or bank.provenance.control or any(c.affinity for c in bank.conditions))


def loads(text: str, source: Path | str = "bank") -> tuple[Bank, tuple[Problem, ...]]:
    """A bank and its warnings from a file's text.

    Raises:
        BankError: with all problems at once, each with place and line.
    """
    return validate(text, source)


def load(path: Path) -> LoadedBank:
    """Read a bank; a hand edit is noticed and welcome.

    Raises:
        BankError: the file is missing, unreadable or wrong; all problems at once.
    """
    text = _read(path)
    bank, warnings = loads(text, path)
    newest = bank.history[-1].hash if bank.history else None
    # A version of fedmpt that knew fewer fields hashed the fewer fields that it wrote: no person has edited that file.
    edited = newest != content_hash(bank) and newest != _hash(json.loads(text.removeprefix(BYTE_ORDER_MARK)))
    return LoadedBank(bank, path, edited, warnings)


def record(bank: Bank, path: Path, *, by: str, did: str, expected_hash: str | None = None) -> Bank:
    """Write a changed bank as a new revision, atomically and under a lock; the revision's copy is kept.

    Args:
        bank: the new content; what the file has recorded, or, if there is no file, the bank itself, is continued.
        path: the file.
        by: "miner" or a person's name.
        did: what was done, one line.
        expected_hash: of the content that the change was made to; None takes whatever is there.

    Returns:
        The bank as written.

    Raises:
        BankError: the new content, or the file that it would replace, is not a valid bank.
        BankConflict: the file's content is another than `expected_hash`.
        OSError: it cannot be written, or another writer holds the lock; the old file is untouched then.
    """
    _valid(bank, path)
    path = path.resolve()  # a link to a bank stays a link
    versions(path).mkdir(parents=True, exist_ok=True)
    with locked(versions(path) / ".lock"):
        before = load(path) if path.exists() else None
        if expected_hash is not None and (before is None or before.hash != expected_hash):
            message = "the file has changed since it was read; nothing was written. Read it again and repeat"
            raise BankConflict(path, [Problem("", message)])
        recorded = _next_revision(bank, before.bank if before else bank, by, did, path)
        remove_leftovers(path.parent, path.name)
        remove_leftovers(versions(path))
        if before is not None and not before.edited:
            _keep(before.bank, _read(path), path)  # somebody may have removed the versions: this is the last copy
        _keep(recorded, dumps(recorded), path)
        _put_schema(path)
        write_atomically(path, dumps(recorded))
    return recorded


def versions(path: Path) -> Path:
    """The folder beside a bank in which its revisions are kept."""
    return path.with_name(f"{path.stem}.versions")


def now() -> str:
    """UTC, in the bank's form."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def copy_name(revision: int, content: str) -> str:
    """What a revision's copy is called among the versions: by its number and its content's hash."""
    return f"{revision:05d}-{content.removeprefix('sha256:')[:16]}.json"


def _hash(content: dict[str, Any]) -> str:
    """Of a bank as JSON, without its history."""
    content = {name: value for name, value in content.items() if name != "history"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _valid(bank: Bank, source: Path) -> None:
    """Raise BankError unless the bank could be read back from a file."""
    try:
        text = dumps(bank)
    except ValueError as error:
        raise BankError(source, [Problem("", f"cannot be written as JSON: {error}")]) from error
    loads(text, source)


def _next_revision(bank: Bank, before: Bank, by: str, did: str, source: Path) -> Bank:
    """The bank numbered after what `before` has recorded, its new corrections signed, with its entry in the history."""
    # The highest, not the last: where git merged two histories, the last one may be the lower one.
    number = max((entry.revision for entry in before.history), default=0) + 1
    numbered = signed(bank.model_copy(update={"revision": number}), by)
    try:
        entry = Revision(revision=number, at=now(), by=by, did=did, hash=content_hash(numbered))
    except ValidationError as error:
        problems = [Problem(written(found["loc"]), described(found)) for found in error.errors()]
        raise BankError(source, problems) from error
    return numbered.model_copy(update={"history": (*before.history, entry)})


def _keep(bank: Bank, text: str, path: Path) -> None:
    """Put a recorded bank, as it is written, into the versions, where nothing is ever changed."""
    newest = bank.history[-1]
    copy = versions(path) / copy_name(newest.revision, newest.hash)
    if not copy.exists():
        write_atomically(copy, text)


def _put_schema(path: Path) -> None:
    """Put the schema that a bank names beside it."""
    schema, shipped = path.with_name(SCHEMA_FILE.name), SCHEMA_FILE.read_text(encoding="utf-8")
    if not schema.exists() or schema.read_text(encoding="utf-8") != shipped:
        write_atomically(schema, shipped)


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
        return content.decode("utf-8")
    except FileNotFoundError as error:
        raise BankError(path, [Problem("", "there is no such file; fedmpt mine-conditions writes a bank")]) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BankError(path, [Problem("", "is not UTF-8; save the file as UTF-8", line)]) from error
    except OSError as error:
        raise BankError(path, [Problem("", f"cannot be read: {error.strerror}")]) from error
