"""The interface of a backend, which answers chat-completion requests, and its failures."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Reply:
    """The reply to a request.

    Attributes:
        text: content of the message.
        finish_reason: "stop", "length", "content_filter", "refusal" or "no content".
        tokens_in, tokens_out: input and output tokens as the server counted them; 0 if it didn't.
        model: the model that the server says it ran; "" if it doesn't say.
    """

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    model: str = ""


class RequestFailed(Exception):
    """A request failed permanently; other requests may succeed."""


class ContentRefused(RequestFailed):
    """The server refuses what the question speaks of: a content filter, or moderation."""


class BadRequest(RequestFailed):
    """The server rejects the form of the request (400, 422); it may accept another form.

    Attributes:
        named: the words in which a parameter may be named.
    """

    def __init__(self, reason: str, named: str = "") -> None:
        self.named = named or reason
        super().__init__(reason)


class TransientFailure(RequestFailed):
    """A request failed, but a retry may succeed.

    Attributes:
        retry_after: seconds that the server asks to wait; None if it doesn't say.
        overloaded: whether fewer concurrent requests would help.
        status: the HTTP status; None if there was none.
    """

    def __init__(
        self, reason: str, retry_after: float | None = None, overloaded: bool = False, status: int | None = None
    ) -> None:
        self.retry_after, self.overloaded, self.status = retry_after, overloaded, status
        super().__init__(reason)


class AnswerLater(RequestFailed):
    """The answer is not here yet: the request goes with the next batch."""


class Backend(Protocol):
    """Answers chat-completion requests. An async context manager."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def models(self) -> list[str]:
        """The names of the available models.

        Raises:
            MiningFailed: they cannot be listed.
        """
        ...

    async def complete(self, body: dict[str, Any]) -> Reply:
        """Send one request, without retries.

        Raises:
            RequestFailed: this request failed; TransientFailure and BadRequest are special cases.
            MiningFailed: no request can succeed: unreachable server, no permission, unknown model.
        """
        ...
