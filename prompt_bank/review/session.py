"""What the page asks for, without the web: open, preview, save, put edits on top of another content.

The page's edits are a list of operations on a base, the content that the page has opened. They are replayed here for a
preview and again for the save, and the save succeeds only where the file still holds the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import TypeAdapter, ValidationError

from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.reading.validation import describe_error
from prompt_bank.recording.changes import record_hand_edit
from prompt_bank.recording.store import LoadedBank, content_hash, load, record
from prompt_bank.review import drafts, view
from prompt_bank.review.differences import differences
from prompt_bank.review.operations import Operation, summary
from prompt_bank.schema import Bank, Name


class OperationRefused(Exception):
    """The bank does not allow an operation.

    Attributes:
        index: of the operation in the list.
        problems: why.
    """

    def __init__(self, index: int, problems: list[Problem]) -> None:
        self.index, self.problems = index, problems
        super().__init__(f"operation {index}: " + "; ".join(str(problem) for problem in problems))


class UnknownBase(Exception):
    """This server has never seen the content that the edits were made to."""


class Session:
    """A bank under review.

    Args:
        path: the bank's file.
        by: who is named in the revisions.

    Raises:
        BankError: no revision may name somebody like that.
    """

    def __init__(self, path: Path, by: str) -> None:
        try:
            TypeAdapter(Name).validate_python(by)
        except ValidationError as error:
            raise BankError(path, [Problem("by", describe_error(found)) for found in error.errors()]) from error
        self.path, self.by = path, by
        self._bases: dict[str, Bank] = {}
        self._lock = Lock()
        self._replayed: tuple[list[str], list[Bank]] = ([], [])
        self._seen: tuple[tuple[int, int, int] | None, str | None] | None = None

    def opened(self) -> dict[str, Any]:
        """The file's content as it is now, and the unsaved edits that are kept beside it.

        Raises:
            BankError: the file is missing or wrong.
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
        """The unsaved edits of a page, as they were kept."""
        return next((draft for draft in drafts.load_all(self.path)[0] if draft.id == draft_id), None)

    def preview(self, draft: drafts.Draft) -> dict[str, Any]:
        """What the edits make of their base; they are kept as the page's draft.

        Raises:
            OperationRefused: the bank does not allow one; nothing is kept.
            UnknownBase: the base is unknown to this server.
            OSError: the draft cannot be kept.
        """
        bank = self._replay(draft.base, draft.operations)
        drafts.save(self.path, draft)
        return {**self._state(draft.base, bank, draft.operations), "outdated": self.now() != draft.base}

    def affinity(self, draft: drafts.Draft, condition_id: str) -> dict[str, Any]:
        """The matrix of a condition after the edits.

        Raises:
            OperationRefused: the bank does not allow an edit.
            UnknownBase: the base is unknown to this server.
            BankError: there is no such condition.
        """
        bank = self._replay(draft.base, draft.operations)
        found = next((c for c in bank.conditions if c.id == condition_id), None)
        if found is None:
            raise BankError(self.path, [Problem("condition", f"there is no condition '{condition_id}'")])
        return view.matrix(bank, found)

    def save(self, draft: drafts.Draft, did: str, over: str | None = None) -> dict[str, Any]:
        """Record the edits as a new revision; the draft is dropped.

        What was changed by hand in the file and never recorded becomes a revision of its own first.

        Args:
            draft: the edits.
            did: the revision's message.
            over: hash of another content than the base that the result may replace: the person has seen both.

        Raises:
            OperationRefused: the bank does not allow an operation.
            UnknownBase: the base is unknown to this server.
            BankConflict: the file holds another content.
            BankError: the file is wrong.
            OSError: it cannot be written; draft and file are as they were.
        """
        bank = self._replay(draft.base, draft.operations)
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
        return self.opened()

    def conflict(self, draft: drafts.Draft) -> dict[str, Any]:
        """The file's content beside what the edits make of their base: what differs, and who wrote it."""
        theirs = self._load()
        mine = self._replay(draft.base, draft.operations)
        _, left_out = _apply_applicable(theirs.bank, draft.operations)
        return {
            "hash": theirs.hash,
            "last": view.fixed_content(theirs.bank)["last"],
            "hand_edited": theirs.edited,
            "differences": differences(theirs.bank, mine),
            "left_out": left_out,
        }

    def rebase(self, draft: drafts.Draft) -> dict[str, Any]:
        """The edits on top of the file's content, as the page's new draft; those that do not fit are named.

        Raises:
            BankError: the file is missing or wrong.
            OSError: the draft cannot be kept.
        """
        loaded = self._load()
        fitting, left_out = _apply_applicable(loaded.bank, draft.operations)
        moved = draft.model_copy(update={"base": loaded.hash, "operations": fitting, "undone": []})
        drafts.save(self.path, moved)
        bank = self._replay(loaded.hash, fitting)
        return {
            **self.opened(),
            **self._state(loaded.hash, bank, fitting),
            "operations": [operation.model_dump(mode="json", exclude_none=True) for operation in fitting],
            "left_out": left_out,
        }

    def now(self) -> str | None:
        """Hash of the file's content; None while there is no good bank in the file, which a save will say.

        The file is read again only where it was written since: a large bank takes a second.
        """
        written = self._written()
        if self._seen is None or self._seen[0] != written:
            try:
                self._load()
            except BankError:
                self._seen = (written, None)
        return self._seen[1] if self._seen else None

    def unsaved(self) -> int:
        """Edits that are kept and not saved, in all drafts."""
        return sum(len(draft.operations) for draft in drafts.load_all(self.path)[0])

    def _state(self, base: str, bank: Bank, operations: Sequence[Operation]) -> dict[str, Any]:
        return {
            **view.editable_content(bank),
            "base": base,
            "changes": differences(self._bases[base], bank),
            "told": [operation.told() for operation in operations],
            "summary": summary(operations),
        }

    def _load(self) -> LoadedBank:
        written = self._written()
        loaded = load(self.path)
        self._bases[loaded.hash] = loaded.bank
        self._seen = (written, loaded.hash)
        return loaded

    def _written(self) -> tuple[int, int, int] | None:
        """What changes whenever the file is written; None where there is no file."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns)

    def _replay(self, base: str, operations: Sequence[Operation]) -> Bank:
        """The base with the operations applied; what the last call has replayed already is taken from it."""
        if base not in self._bases:
            raise UnknownBase
        keys = [base, *(operation.model_dump_json() for operation in operations)]
        with self._lock:
            known, banks = self._replayed
            banks = banks[: _common_prefix(keys, known)] or [self._bases[base]]
            for i in range(len(banks) - 1, len(operations)):
                banks.append(_apply(banks[-1], operations[i], i))
            self._replayed = (keys, banks)
        return banks[-1]


def _common_prefix(a: Sequence[str], b: Sequence[str]) -> int:
    """How many entries two lists have in common at their beginning."""
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
    """The operations that the bank allows one after the other, and the others with the reason."""
    fitting: list[Operation] = []
    left_out: list[dict[str, str]] = []
    for i, operation in enumerate(operations):
        try:
            bank = _apply(bank, operation, i)
            fitting.append(operation)
        except OperationRefused as refused:
            left_out.append({"told": operation.told(), "message": "; ".join(p.message for p in refused.problems)})
    return fitting, left_out
