"""Loads and records banks. Writing is atomic and under a lock; a copy of each revision is kept beside the file."""

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
from prompt_bank.editing.affinities import sign_corrections
from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.reading.validation import BYTE_ORDER_MARK, type_problems, validate
from prompt_bank.schema import SCHEMA_FILE, Bank, Revision

NUMBER = r"(?:-?\d[\d.eE+-]*|null)"
STRING = r'"(?:[^"\\]|\\.)*"'


@dataclass(frozen=True)
class LoadedBank:
    """A bank and its file.

    Attributes:
        bank: the content.
        path: the file.
        edited: whether the file has a hand edit: its content differs from the newest recorded revision.
        warnings: problems that do not prevent its use.
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
"""Parts that are written on one line. No string can match, as JSON strings contain no line breaks."""


def dumps(bank: Bank) -> str:
    """The text of a bank file: two spaces of indent, keys in the order of the schema, a final line break.

    Lists of numbers, such as rows of an affinity, and corrections are written on one line, for readable git diffs.
    """
    content = bank.model_dump(mode="json", by_alias=True)
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    text = ROW.sub(lambda row: "[" + re.sub(r",\s+", ", ", row[1]) + "]", text)
    return CELL.sub(lambda cell: "{" + " ".join(cell.groups()) + "}", text) + "\n"


def content_hash(bank: Bank) -> str:
    """The hash of the content without the history, as "sha256:…".

    A bank that uses nothing of format 2 keeps its hash from format 1, as runs and pages refer to it.
    """
    content = bank.model_dump(mode="json", by_alias=True)
    if not _needs_format_2(bank):
        content["format"] = 1
    return _hash(content)


def _needs_format_2(bank: Bank) -> bool:
    added = any(c.affinity for c in bank.conditions) or any(x.attributes or x.attributes_edited for x in bank.labels)
    return bool(bank.about or bank.provenance.control or added)


def loads(text: str, source: Path | str = "bank") -> tuple[Bank, tuple[Problem, ...]]:
    """Parse the text of a bank file.

    Returns:
        The bank and its warnings.

    Raises:
        BankError: with all problems, each with place and line.
    """
    return validate(text, source)


def load(path: Path) -> LoadedBank:
    """Load a bank file and detect hand edits.

    Raises:
        BankError: the file is missing, unreadable or invalid; with all problems.
    """
    text = _read(path)
    bank, warnings = loads(text, path)
    newest = bank.history[-1].hash if bank.history else None
    # An older version of fedmpt hashed fewer fields; a file with that hash has not been edited.
    edited = newest != content_hash(bank) and newest != _hash(json.loads(text.removeprefix(BYTE_ORDER_MARK)))
    return LoadedBank(bank, path, edited, warnings)


def record(bank: Bank, path: Path, *, by: str, did: str, expected_hash: str | None = None) -> Bank:
    """Write a bank as a new revision, atomically and under a lock, and keep a copy of the revision.

    Args:
        bank: the new content. The history is continued from the file, or, if there is none, from the bank itself.
        path: the bank file.
        by: "miner" or a person's name.
        did: the message of the revision, one line.
        expected_hash: hash of the content that was changed; None accepts any content of the file.

    Returns:
        The bank as written.

    Raises:
        BankError: the new content, or the file that it would replace, is invalid.
        BankConflict: the file's hash is not `expected_hash`.
        OSError: the file cannot be written, or another writer holds the lock; the old file is unchanged.
    """
    _require_readable(bank, path)
    path = path.resolve()  # a symbolic link stays a link
    versions_folder(path).mkdir(parents=True, exist_ok=True)
    with locked(versions_folder(path) / ".lock"):
        before = load(path) if path.exists() else None
        if expected_hash is not None and (before is None or before.hash != expected_hash):
            message = "the file has changed since it was read; nothing was written. Read it again and repeat"
            raise BankConflict(path, [Problem("", message)])
        recorded = _next_revision(bank, before.bank if before else bank, by, did, path)
        remove_leftovers(path.parent, path.name)
        remove_leftovers(versions_folder(path))
        if before is not None and not before.edited:
            _write_copy(before.bank, _read(path), path)  # if the copies were deleted, this is the last one
        _write_copy(recorded, dumps(recorded), path)
        _write_schema(path)
        write_atomically(path, dumps(recorded))
    return recorded


def versions_folder(path: Path) -> Path:
    """The folder beside a bank file with the copies of its revisions."""
    return path.with_name(f"{path.stem}.versions")


def now() -> str:
    """The current time in UTC, in the format of bank files."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def copy_name(revision: int, content: str) -> str:
    """The file name of a revision's copy: its number and the start of its hash."""
    return f"{revision:05d}-{content.removeprefix('sha256:')[:16]}.json"


def _hash(content: dict[str, Any]) -> str:
    """The hash of a bank's JSON content without the history."""
    content = {name: value for name, value in content.items() if name != "history"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _require_readable(bank: Bank, source: Path) -> None:
    """Raise BankError if the written bank could not be read again."""
    try:
        text = dumps(bank)
    except ValueError as error:
        raise BankError(source, [Problem("", f"cannot be written as JSON: {error}")]) from error
    loads(text, source)


def _next_revision(bank: Bank, before: Bank, by: str, did: str, source: Path) -> Bank:
    """The bank with the next revision number, its new corrections signed, and its entry appended to the history."""
    # The maximum, not the last: in a history merged by git the last number may be lower.
    number = max((entry.revision for entry in before.history), default=0) + 1
    numbered = sign_corrections(bank.model_copy(update={"revision": number}), by)
    try:
        entry = Revision(revision=number, at=now(), by=by, did=did, hash=content_hash(numbered))
    except ValidationError as error:
        raise BankError(source, type_problems(error)) from error
    return numbered.model_copy(update={"history": (*before.history, entry)})


def _write_copy(bank: Bank, text: str, path: Path) -> None:
    """Write the copy of a recorded revision; existing copies are never changed."""
    newest = bank.history[-1]
    copy = versions_folder(path) / copy_name(newest.revision, newest.hash)
    if not copy.exists():
        write_atomically(copy, text)


def _write_schema(path: Path) -> None:
    """Write the JSON schema that a bank refers to beside it."""
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
