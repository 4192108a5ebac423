"""A check of a doctor: of this installation, or of a site of a federation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Of a check."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    BROKEN = "broken"


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
        name: what was checked.
        status: whether it works.
        detail: what was found.
        remedy: what to do; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


@contextmanager
def expecting(name: str, remedy: str, found: list[Check]) -> Iterator[None]:
    """Any error inside becomes a broken check: a doctor that stops at the first illness finds only one."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        found.append(Check(name, Status.BROKEN, said, remedy))
