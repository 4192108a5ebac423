"""Problems of a bank, and the errors that carry them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedmpt.common.errors import FedmptError


@dataclass(frozen=True)
class Problem:
    """An error or a warning about one place in a bank.

    Attributes:
        place: for example "conditions[2].text"; "" for the whole file.
        message: what is wrong and what to do.
        line: line number in the file, from 1; None if unknown.
        severity: a bank with an "error" cannot be used; a "warning" does not prevent its use.
    """

    place: str
    message: str
    line: int | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.place, f"line {self.line}" if self.line else "") if part)
        return f"{where}: {self.message}" if where else self.message


class BankError(FedmptError):
    """A bank that cannot be used, with all of its problems."""

    def __init__(self, source: Path | str, problems: list[Problem]) -> None:
        self.source, self.problems = source, problems
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


class BankConflict(BankError):
    """The file has changed since the bank was read, so that the change cannot be recorded."""

    exit_code = 1
