"""What can be wrong with a bank, with its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedmpt.common.errors import FedmptError


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


class BankError(FedmptError):
    """A bank that cannot be used: all of its problems at once."""

    def __init__(self, source: Path | str, problems: list[Problem]) -> None:
        self.source, self.problems = source, problems
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class BankConflict(BankError):
    """The file on the disk is not the one that the change was made to."""

    exit_code = 1
