"""The backend for OpenAI-compatible endpoints, with clear errors for every way in which one fails."""

from __future__ import annotations

import asyncio
import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from condition_miner.errors import MinerError, MiningFailed
from condition_miner.model.address import LOCAL, Address
from condition_miner.model.backend import BadRequest, Reply, RequestFailed, TransientFailure
from condition_miner.model.next_tokens import most_likely_of
from condition_miner.settings import ServiceSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 10.0
"""Time limit for connecting to a server."""
OVERLOAD_STATUSES = (429, 503, 504, 529)
"""HTTP statuses of an overloaded server."""
TRANSIENT_STATUSES = (408, 409, *OVERLOAD_STATUSES)
"""HTTP statuses after which a retry may succeed, besides those from 500 on."""


class Endpoint:
    """A client of an endpoint; an async context manager. It does not retry: asking/sending.py does.

    Args:
        address: address of the endpoint.
        service: time limit of a request.

    Raises:
        MinerError: the endpoint is not on this machine, and OPENAI_API_KEY is not set.
    """

    def __init__(self, address: Address, service: ServiceSettings) -> None:
        key = os.environ.get("OPENAI_API_KEY")
        if not key and address.endpoint != LOCAL:
            raise MinerError(
                f"{address.endpoint} wants a key: set OPENAI_API_KEY; or name a server of your own with --base-url"
            )
        self._where = address.display
        self._seconds = service.timeout
        self._client = _client(address.base_url, key or "none", service.timeout)
        self._answered = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def models(self) -> list[str]:
        """The names of the models that the server offers.

        Raises:
            MiningFailed: they cannot be listed.
        """
        try:
            page = await self._client.get("/models", cast_to=object)
        except Exception as error:
            failure = self._classify(error)
            if isinstance(failure, MiningFailed):
                raise failure from error
            raise MiningFailed(f"{self._where}: no list of models ({failure}); name one with --model") from error
        listed = page.get("data") if isinstance(page, dict) else None
        if not isinstance(listed, list):
            raise MiningFailed(f"{self._where}: no list of models (is it an OpenAI-compatible endpoint?)")
        return [str(model["id"]) for model in listed if isinstance(model, dict) and "id" in model]

    async def complete(self, body: dict[str, Any]) -> Reply:
        """Send one request, without retries.

        Raises:
            RequestFailed: this request failed; TransientFailure and BadRequest are special cases.
            MiningFailed: no request can succeed: unreachable server, no permission, unknown model.
        """
        path = "/completions" if "prompt" in body else "/chat/completions"
        try:
            # The client's own time limit is per read, which a slowly trickling answer never exceeds.
            async with asyncio.timeout(self._seconds):
                completion = await self._client.post(path, cast_to=object, body=body)
        except Exception as error:
            if "prompt" in body and getattr(error, "status_code", None) in (404, 405, 501):
                raise BadRequest("this server has no completions besides chats") from error
            raise self._classify(error) from error
        self._answered = True
        return _next_tokens(completion) if body.get("logprobs") else _reply(completion)

    def _classify(self, error: Exception) -> RequestFailed | MiningFailed:
        """The failure of this request, or of the whole run, that an error of the client means."""
        import openai

        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return TransientFailure(f"no answer in {self._seconds:g} s (--timeout)", overloaded=True)
        if isinstance(error, openai.APIConnectionError):
            return self._by_connection(error)
        if isinstance(error, openai.APIStatusError):
            return self._by_status(error)
        no_json = "the server's answer is not JSON; is it an OpenAI-compatible endpoint?"
        return RequestFailed(
            no_json if isinstance(error, json.JSONDecodeError) else _server_message(error) or type(error).__name__
        )

    def _by_connection(self, error: Exception) -> TransientFailure | MiningFailed:
        if not _never_connected(error):
            return TransientFailure("the connection broke")
        if self._answered:
            return TransientFailure("no server answers there any more")
        return MiningFailed(f"{self._where}: no server answers there; start one, or name another with --base-url")

    def _by_status(self, error: Any) -> RequestFailed | MiningFailed:
        status: int = error.status_code
        reason = f"{status} {_server_message(error)}".strip()
        if status in (401, 403):
            return MiningFailed(f"{self._where}: the key was refused ({status}); check OPENAI_API_KEY")
        if status == 404:
            return MiningFailed(f"{self._where}: {reason}; check --model, and that --base-url ends in /v1")
        if status == 429 and getattr(error, "code", None) == "insufficient_quota":
            return MiningFailed(f"{self._where}: {reason}; the account has no credit left")
        if status in TRANSIENT_STATUSES or status >= 500:
            return TransientFailure(reason, retry_after(error.response.headers), status in OVERLOAD_STATUSES)
        return BadRequest(reason) if status in (400, 422) else RequestFailed(reason)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds in a Retry-After header, a number or an HTTP date (RFC 9110 §10.2.3); None if missing or invalid."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())


def _client(base_url: str, key: str, seconds: float) -> AsyncOpenAI:
    from openai import AsyncOpenAI, Timeout

    limit = Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
    return AsyncOpenAI(base_url=base_url, api_key=key, timeout=limit, max_retries=0)


def _choice(completion: Any) -> dict[str, Any]:
    """The first choice, checked: a server of another kind (a login page) may answer anything with 200."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RequestFailed("the server's answer has no choices; is it an OpenAI-compatible endpoint?")
    choice: dict[str, Any] = choices[0]
    return choice


def _next_tokens(completion: Any) -> Reply:
    """A reply whose text is the log-probabilities of its first token."""
    found = most_likely_of(_choice(completion))
    if found is None:
        raise BadRequest("the server gives no log-probabilities")
    return Reply(found.text(), "stop", *_usage(completion.get("usage")))


def _reply(completion: Any) -> Reply:
    """A reply from plain JSON."""
    choice = _choice(completion)
    message, reason = choice.get("message"), str(choice.get("finish_reason"))
    if not isinstance(message, dict):
        raise RequestFailed("the server's answer has no message; is it an OpenAI-compatible endpoint?")
    tokens_in, tokens_out = _usage(completion.get("usage"))
    content = message.get("content")
    if message.get("refusal"):
        return Reply("", "refusal", tokens_in, tokens_out)
    # A reasoning model that spent its whole token limit on reasoning has no content.
    if content is None:
        return Reply("", reason if reason != "stop" else "no content", tokens_in, tokens_out)
    if not isinstance(content, str):
        raise RequestFailed("the server's answer is no text")
    return Reply(content, reason, tokens_in, tokens_out)


def _usage(usage: Any) -> tuple[int, int]:
    if not isinstance(usage, dict):
        return 0, 0
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    tokens_in, tokens_out = (count if type(count) is int and count >= 0 else 0 for count in counts)
    return tokens_in, tokens_out


def _never_connected(error: BaseException) -> bool:
    """Whether the cause of an error, at any depth, is a refused connection."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__name__ == "ConnectError" or isinstance(seen, ConnectionRefusedError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _server_message(error: Exception) -> str:
    """The server's error message in one short line, without headers, which may have the key."""
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    if isinstance(said, dict):
        said = said.get("message")
    return "".join(c for c in " ".join(str(said).split()) if c.isprintable())[:300] if said else ""
