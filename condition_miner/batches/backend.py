"""Answers requests from a folder of results; what has none is noted for the next batch."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from condition_miner.batches.folder import BatchFolder, request_id
from condition_miner.errors import MiningFailed
from condition_miner.model.backend import AnswerLater, Reply, RequestFailed, TransientFailure
from condition_miner.model.refusals import error_in, failure
from condition_miner.model.replies import reply_to
from condition_miner.model.untrusted import words

MOST_TRIES = 3
"""In so many batches a request may fail for passing reasons."""


class BatchBackend:
    """A backend whose requests go with the next batch; see `Backend`.

    A run repeats what earlier runs asked, attempt by attempt, and gets the results of then, until it comes to what was
    not asked yet.

    Args:
        folder: of results.
        where: name of the endpoint in messages.

    Attributes:
        wanted: bodies without a result, by id.
        again: why requests are sent again, by id.
    """

    def __init__(self, folder: BatchFolder, where: str) -> None:
        self.folder, self._where = folder, where
        self.wanted: dict[str, dict[str, Any]] = {}
        self.again: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    async def models(self) -> list[str]:
        """No models: a file cannot be asked.

        Raises:
            MiningFailed: always.
        """
        raise MiningFailed("a batch needs a model's name: --model")

    async def complete(self, body: dict[str, Any]) -> Reply:
        """The reply to a request, if it came back.

        Raises:
            AnswerLater: it didn't.
            RequestFailed: it was refused, or is none that a batch can carry.
            MiningFailed: it failed too often.
        """
        if "prompt" in body:
            raise RequestFailed("a batch carries chats alone")
        asked = request_id(body)
        result, count = self.folder.result(asked)
        if result is None:
            self.wanted[asked] = body
            raise AnswerLater
        try:
            return reply_to(body, self._content(result))
        except (TransientFailure, MiningFailed) as error:
            if count >= MOST_TRIES:
                raise MiningFailed(
                    f"{self._where}: a request failed in {count} batches, at last with: {error}. Delete the results in "
                    f"{self.folder.folder} that say so, then run the same command again"
                ) from error
            self.wanted[asked] = body
            self.again[asked] = str(error)
            raise AnswerLater from error

    def _content(self, result: dict[str, Any]) -> Any:
        """The body of a result that is no error."""
        error, response = result.get("error"), result.get("response")
        if not isinstance(response, dict):
            said = error.get("message") or error.get("code") if isinstance(error, dict) else error
            raise TransientFailure(words(said or "no answer"))
        status, content = response.get("status_code"), response.get("body")
        if type(status) is int and status != 200:
            # vllm run-batch has no body then, and the server's words beside it.
            raise failure(status, error if content is None else content, self._where)
        found = error_in(content)
        if found:
            raise failure(*found, self._where, in_body=True)
        return content
