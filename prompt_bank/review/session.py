"""The review page's operations without HTTP: open, preview, save, rebase.

The edits of a page are a list of operations on a base, the content that the page has opened. They are applied for
each preview and again for the save, which succeeds only if the file still has the content of the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import TypeAdapter, ValidationError

from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.reading.validation import type_problems
from prompt_bank.recording.changes import record_hand_edit
from prompt_bank.recording.store import LoadedBank, content_hash, load, record
from prompt_bank.review import drafts, view
from prompt_bank.review.differences import differences
from prompt_bank.review.operations import Operation, summary
from prompt_bank.schema import Bank, Name


class OperationRefused(Exception):
    """An operation is invalid for the bank.

    Attributes:
        index: the index of the operation.
        problems: the reasons.
    """

    def __init__(self, index: int, problems: list[Problem]) -> None:
        self.index, self.problems = index, problems
        super().__init__(f"operation {index}: " + "; ".join(str(problem) for problem in problems))


class UnknownBase(Exception):
    """This server has not loaded the content that the edits are based on."""


class Session:
    """A bank under review.

    Args:
        path: the bank file.
        by: the author of the revisions.

    Raises:
        BankError: the author's name is empty or too long.
    """

    def __init__(self, path: Path, by: str) -> None:
        try:
            TypeAdapter(Name).validate_python(by)
        except ValidationError as error:
            raise BankError(path, type_problems(error, ("by",))) from error
        self.path, self.by = path, by
        self._bases: dict[str, Bank] = {}
        self._lock = Lock()
        self._cached: tuple[list[str], list[Bank]] = ([], [])
        self._seen: tuple[tuple[int, int, int] | None, str | None] | None = None

    def open(self) -> dict[str, Any]:
        """Load the file: its content and the drafts of its unsaved edits, as JSON.

        Raises:
            BankError: the file is missing or invalid.
        """
        loaded = self._load()
        drafted, problems = drafts.load_all(self.path)
        return {
            **view.fixed_content(loaded.bank),
            **self._state(loaded.hash, loaded.bank, ()),
            "file": self.path.name,
            "by": self.by,
            "hand_edited": loaded.edited,
            "warnings": view.problems_as_json([*loaded.warnings, *problems]),
            "drafts": [drafts.summary(draft) for draft in drafted],
        }

    def draft(self, draft_id: str) -> drafts.Draft | None:
        """The draft of a page, if it exists."""
        return next((draft for draft in drafts.load_all(self.path)[0] if draft.id == draft_id), None)

    def preview(self, draft: drafts.Draft) -> dict[str, Any]:
        """Apply the edits to their base and store them as the page's draft.

        Raises:
            OperationRefused: an operation is invalid; the draft is not stored.
            UnknownBase: this server has not loaded the base.
            OSError: the draft cannot be written.
        """
        bank = self._apply_to_base(draft.base, draft.operations)
        drafts.save(self.path, draft)
        return {**self._state(draft.base, bank, draft.operations), "outdated": self.current_hash() != draft.base}

    def affinity(self, draft: drafts.Draft, condition_id: str) -> dict[str, Any]:
        """The affinity of a condition after the edits.

        Raises:
            OperationRefused: an operation is invalid.
            UnknownBase: this server has not loaded the base.
            BankError: there is no such condition.
        """
        bank = self._apply_to_base(draft.base, draft.operations)
        found = next((c for c in bank.conditions if c.id == condition_id), None)
        if found is None:
            raise BankError(self.path, [Problem("condition", f"there is no condition '{condition_id}'")])
        return view.matrix(bank, found)

    def save(self, draft: drafts.Draft, did: str, over: str | None = None) -> dict[str, Any]:
        """Record the edits as a new revision and delete the draft.

        An unrecorded hand edit of the file is recorded first, as a separate revision.

        Args:
            draft: the edits.
            did: the message of the revision.
            over: hash of a content other than the base that the result may overwrite; the person has compared both.

        Raises:
            OperationRefused: an operation is invalid.
            UnknownBase: this server has not loaded the base.
            BankConflict: the file has another content.
            BankError: the file is invalid.
            OSError: the file cannot be written; draft and file are unchanged.
        """
        bank = self._apply_to_base(draft.base, draft.operations)
        loaded = self._load()
        if loaded.hash != (over or draft.base):
            raise BankConflict(self.path, [Problem("", "the file has changed since it was opened")])
        expected = loaded.hash
        if loaded.edited and (loaded.bank.history or over):
            by_hand = record_hand_edit(loaded, self.by).bank
            expected = content_hash(by_hand)
            if over is None:
                bank = _apply_all(by_hand, draft.operations)
        record(bank, self.path, by=self.by, did=did, expected_hash=expected)
        drafts.delete(self.path, draft.id)
        return self.open()

    def conflict(self, draft: drafts.Draft) -> dict[str, Any]:
        """The differences between the file's content and the result of the edits, and the file's last author."""
        theirs = self._load()
        mine = self._apply_to_base(draft.base, draft.operations)
        _, left_out = _apply_applicable(theirs.bank, draft.operations)
        return {
            "hash": theirs.hash,
            "last": view.fixed_content(theirs.bank)["last"],
            "hand_edited": theirs.edited,
            "differences": differences(theirs.bank, mine),
            "left_out": left_out,
        }

    def rebase(self, draft: drafts.Draft) -> dict[str, Any]:
        """Rebase the edits onto the file's content, as the page's new draft; operations invalid there are left out.

        Raises:
            BankError: the file is missing or invalid.
            OSError: the draft cannot be written.
        """
        loaded = self._load()
        fitting, left_out = _apply_applicable(loaded.bank, draft.operations)
        moved = draft.model_copy(update={"base": loaded.hash, "operations": fitting, "undone": []})
        drafts.save(self.path, moved)
        bank = self._apply_to_base(loaded.hash, fitting)
        return {
            **self.open(),
            **self._state(loaded.hash, bank, fitting),
            "operations": [operation.model_dump(mode="json", exclude_none=True) for operation in fitting],
            "left_out": left_out,
        }

    def current_hash(self) -> str | None:
        """The hash of the file's content; None if the file is invalid, which a save reports.

        The file is loaded only if it was written since the last call, as loading a large bank takes a second.
        """
        written = self._file_state()
        if self._seen is None or self._seen[0] != written:
            try:
                self._load()
            except BankError:
                self._seen = (written, None)
        return self._seen[1] if self._seen else None

    def unsaved_count(self) -> int:
        """The number of unsaved edits in all drafts."""
        return sum(len(draft.operations) for draft in drafts.load_all(self.path)[0])

    def _state(self, base: str, bank: Bank, operations: Sequence[Operation]) -> dict[str, Any]:
        return {
            **view.editable_content(bank),
            "base": base,
            "changes": differences(self._bases[base], bank),
            "told": [operation.description() for operation in operations],
            "summary": summary(operations),
        }

    def _load(self) -> LoadedBank:
        written = self._file_state()
        loaded = load(self.path)
        self._bases[loaded.hash] = loaded.bank
        self._seen = (written, loaded.hash)
        return loaded

    def _file_state(self) -> tuple[int, int, int] | None:
        """Inode, size and time of modification, which change with every write; None if there is no file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    def _apply_to_base(self, base: str, operations: Sequence[Operation]) -> Bank:
        """Apply the operations to the base, starting from the common prefix with the previous call."""
        if base not in self._bases:
            raise UnknownBase
        keys = [base, *(operation.model_dump_json() for operation in operations)]
        with self._lock:
            known, banks = self._cached
            banks = banks[: _common_prefix(keys, known)] or [self._bases[base]]
            for i in range(len(banks) - 1, len(operations)):
                banks.append(_apply(banks[-1], operations[i], i))
            self._cached = (keys, banks)
        return banks[-1]


def _common_prefix(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the common prefix of two lists."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _apply_all(bank: Bank, operations: Sequence[Operation]) -> Bank:
    for i, operation in enumerate(operations):
        bank = _apply(bank, operation, i)
    return bank


def _apply(bank: Bank, operation: Operation, index: int) -> Bank:
    try:
        return operation.apply(bank)
    except BankError as error:
        raise OperationRefused(index, error.problems) from error


def _apply_applicable(bank: Bank, operations: Sequence[Operation]) -> tuple[list[Operation], list[dict[str, str]]]:
    """The operations that can be applied in sequence, and the others with the reason."""
    fitting: list[Operation] = []
    left_out: list[dict[str, str]] = []
    for i, operation in enumerate(operations):
        try:
            bank = _apply(bank, operation, i)
            fitting.append(operation)
        except OperationRefused as refused:
            left_out.append(
                {"told": operation.description(), "message": "; ".join(p.message for p in refused.problems)}
            )
    return fitting, left_out
