"""A server of the review page in this process, and what its requests contain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prompt_bank.recording.store import record
from prompt_bank.review.server import application
from prompt_bank.review.session import Session
from prompt_bank.schema import Caption, Condition, Dependency
from tests.local_server import TOKEN, Server, serving
from tests.prompt_bank.banks import good

PAGE = "0" * 32
"""The id of a draft."""


@contextmanager
def served(path: Path, by: str = "ada") -> Iterator[Server]:
    """A server for a bank file."""
    with serving(application(Session(path, by), TOKEN)) as running:
        yield running


def recorded(folder: Path) -> Path:
    """The file of a recorded bank with three conditions, two captions and two dependencies."""
    bank = good()
    captions = (*bank.captions, Caption(id="cap-0002", labels=("cat", "potted plant"), text="Cats by a potted plant."))
    conditions = (
        *bank.conditions,
        Condition(id="lighting", text="lighting", definition="Where the light comes from.", evidence=("cap-0002",)),
    )
    dependencies = (
        *bank.dependencies,
        Dependency(labels=("cat", "potted plant", "sofa"), conditions=("pose", "lighting"), evidence=("cap-0002",)),
    )
    labels = (*bank.labels, bank.labels[0].model_copy(update={"name": "sofa", "aliases": ()}))
    changes = {"labels": labels, "conditions": conditions, "dependencies": dependencies, "captions": captions}
    path = folder / "bank.json"
    record(bank.model_copy(update=changes), path, by="miner", did="mined")
    return path


def edits(base: str, *operations: dict[str, Any], page: str = PAGE, **more: Any) -> dict[str, Any]:
    """The request body of a page: its edits on a base."""
    return {"id": page, "base": base, "operations": list(operations), **more}


def messages(answer: dict[str, Any]) -> str:
    """The messages of all problems in one line."""
    return "; ".join(f"{problem['place']}: {problem['message']}" for problem in answer["problems"])
