"""Drafts: unsaved edits, stored beside the bank, so that they survive reloads, crashes and the end of the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedmpt.common.files import write_atomically
from prompt_bank.errors import Problem
from prompt_bank.recording.store import now, versions_folder
from prompt_bank.review.operations import Operations

DraftId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class Draft(BaseModel):
    """The unsaved edits of one page.

    Attributes:
        id: the id of the page.
        by: the person who edits.
        at: the time of the last edit.
        base: hash of the bank content that is edited.
        operations: the edits, oldest first.
        undone: undone edits, which can be redone, newest first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: DraftId
    by: str
    at: Annotated[str, Field(default_factory=now)]
    base: str
    operations: Operations
    undone: Operations = []


def folder(bank: Path) -> Path:
    """The folder of a bank's drafts."""
    return versions_folder(bank.resolve()) / "drafts"


def save(bank: Path, draft: Draft) -> None:
    """Write a draft; a draft without edits is deleted.

    Raises:
        OSError: the draft cannot be written.
    """
    path = _file(bank, draft.id)
    if not draft.operations and not draft.undone:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, draft.model_dump_json(indent=2, exclude_none=True) + "\n")


def delete(bank: Path, draft_id: str) -> None:
    """Delete a draft, if it exists.

    Raises:
        OSError: the draft cannot be deleted.
    """
    _file(bank, draft_id).unlink(missing_ok=True)


def load_all(bank: Path) -> tuple[list[Draft], list[Problem]]:
    """All drafts with edits, newest first, and warnings about unreadable drafts."""
    drafts: list[Draft] = []
    problems: list[Problem] = []
    for path in sorted(folder(bank).glob("*.json")):
        try:
            draft = Draft.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            found = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
            problems.append(Problem("", f"unsaved edits in {path} cannot be read: {found}", severity="warning"))
            continue
        if draft.operations:
            drafts.append(draft)
    return sorted(drafts, key=lambda draft: draft.at, reverse=True), problems


def summary(draft: Draft) -> dict[str, Any]:
    """What a page is told about a draft of another page."""
    return {"id": draft.id, "by": draft.by, "at": draft.at, "edits": len(draft.operations)}


def _file(bank: Path, draft_id: str) -> Path:
    return folder(bank) / f"{draft_id}.json"
