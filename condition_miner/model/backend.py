"""What anything that answers questions must be able to do, and the ways in which it fails."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        text: the answer's content.
        finish_reason: "stop", "length" …
        tokens_in, tokens_out: as the server counted them, 0 where it didn't.
    """

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int


class Refused(Exception):
    """One request failed for good; others may succeed."""


class BadRequest(Refused):
    """The server doesn't take a request of this form (400, 422): another form may do."""


class Busy(Refused):
    """A request failed for now; sent again it may succeed.

    Attributes:
        retry_after: seconds that the server asks to wait, None where it doesn't say.
        overloaded: whether fewer requests at once would help.
    """

    def __init__(self, reason: str, retry_after: float | None = None, overloaded: bool = False) -> None:
        self.retry_after, self.overloaded = retry_after, overloaded
        super().__init__(reason)


class Backend(Protocol):
    """Answers chat-completion requests; an async context manager."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def models(self) -> list[str]:
        """The names of the models that can be asked.

        Raises:
            MiningFailed: it cannot be reached or refuses.
        """
        ...

    async def ask(self, body: dict[str, Any]) -> Reply:
        """Answer one request, once.

        Raises:
            Refused: this request failed: for now (Busy), by its form (BadRequest) or for good.
            MiningFailed: no request can succeed: not reachable, no permission, no such model.
        """
        ...
