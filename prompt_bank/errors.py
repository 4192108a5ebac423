"""What can be wrong with a bank, with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or doubtful.

    Attributes:
        place: "conditions[2].text", or "" for the file as a whole.
        message: what is wrong and what to do.
        line: of the file, from 1; None where the place has none.
        severity: an "error" keeps the bank from being used, a "warning" doesn't.
    """

    place: str
    message: str
    line: int | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.place, f"line {self.line}" if self.line else "") if part)
        return f"{where}: {self.message}" if where else self.message


class BankError(Exception):
    """A bank that cannot be used: all of its problems at once."""

    def __init__(self, source: Path | str, problems: list[Problem]) -> None:
        self.source, self.problems = source, problems
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class BankConflict(BankError):
    """The file on the disk is not the one that the change was made to."""


def offered(wanted: str, known: Sequence[str]) -> str:
    """Names that there are, for a message about one that there is not: the nearest first, twenty at the most."""
    near = get_close_matches(wanted, known, n=3, cutoff=0.5)
    return ", ".join([*near, *(name for name in known if name not in near)][:20]) or "none"
