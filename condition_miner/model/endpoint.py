"""An OpenAI-compatible endpoint, and every way in which one fails, turned into words."""

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
from condition_miner.model.backend import BadRequest, Busy, Refused, Reply
from condition_miner.settings import ServiceSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_SECONDS = 10.0
"""A server that doesn't take a connection for so long is overloaded or away."""
OVERLOADED = (429, 503, 504, 529)
"""Statuses that fewer requests at once would help."""
PASSING = (408, 409, *OVERLOADED)
"""Statuses below 500, and those above, after which the same request may succeed."""


class Endpoint:
    """A connection to an endpoint; an async context manager. Nothing is sent twice here: see sending.py.

    Args:
        address: where it is.
        service: time limits.

    Raises:
        MinerError: an endpoint away from this machine, and no OPENAI_API_KEY.
    """

    def __init__(self, address: Address, service: ServiceSettings) -> None:
        key = os.environ.get("OPENAI_API_KEY")
        if not key and address.endpoint != LOCAL:
            raise MinerError(
                f"{address.endpoint} wants a key: set OPENAI_API_KEY; or name a server of your own with --base-url"
            )
        self._where = address.shown
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
        """The names of the models that are offered.

        Raises:
            MiningFailed: the endpoint cannot be reached or refuses.
        """
        try:
            page = await self._client.get("/models", cast_to=object)
        except Exception as error:
            failure = self._failure(error)
            if isinstance(failure, MiningFailed):
                raise failure from error
            raise MiningFailed(f"{self._where}: no list of models ({failure}); name one with --model") from error
        listed = page.get("data") if isinstance(page, dict) else None
        if not isinstance(listed, list):
            raise MiningFailed(f"{self._where}: no list of models (is it an OpenAI-compatible endpoint?)")
        return [str(model["id"]) for model in listed if isinstance(model, dict) and "id" in model]

    async def ask(self, body: dict[str, Any]) -> Reply:
        """Send one request, once.

        Raises:
            Refused: this request failed: for now (Busy), by its form (BadRequest) or for good.
            MiningFailed: no request can succeed: not reachable, no permission, no such model.
        """
        try:
            # The client's own limit is for each read: a server that drips would never meet it.
            async with asyncio.timeout(self._seconds):
                completion = await self._client.post("/chat/completions", cast_to=object, body=body)
        except Exception as error:
            raise self._failure(error) from error
        self._answered = True
        return _reply(completion)

    def _failure(self, error: Exception) -> Refused | MiningFailed:
        """What an error of the client means for this request, or for the whole run."""
        import openai

        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return Busy(f"no answer in {self._seconds:g} s (--timeout)", overloaded=True)
        if isinstance(error, openai.APIConnectionError):
            if not _was_refused(error):
                return Busy("the connection broke")
            if self._answered:
                return Busy("no server answers there any more")
            return MiningFailed(f"{self._where}: no server answers there; start one, or name another with --base-url")
        if isinstance(error, openai.APIStatusError):
            return self._by_status(error)
        no_json = "the server's answer is not JSON; is it an OpenAI-compatible endpoint?"
        return Refused(no_json if isinstance(error, json.JSONDecodeError) else _said(error) or type(error).__name__)

    def _unconnected(self, error: Exception) -> Busy | MiningFailed:
        if not _was_refused(error):
            return Busy("the connection broke")
        if self._answered:
            return Busy("no server answers there any more")
        return MiningFailed(f"{self._where}: no server answers there; start one, or name another with --base-url")

    def _by_status(self, error: Any) -> Refused | MiningFailed:
        status: int = error.status_code
        reason = f"{status} {_said(error)}".strip()
        if status in (401, 403):
            return MiningFailed(f"{self._where}: the key was refused ({status}); check OPENAI_API_KEY")
        if status == 404:
            return MiningFailed(f"{self._where}: {reason}; check --model, and that --base-url ends in /v1")
        if status == 429 and getattr(error, "code", None) == "insufficient_quota":
            return MiningFailed(f"{self._where}: {reason}; the account has no credit left")
        if status in PASSING or status >= 500:
            return Busy(reason, retry_after(error.response.headers), status in OVERLOADED)
        return BadRequest(reason) if status in (400, 422) else Refused(reason)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait: a number or an HTTP date (RFC 9110 §10.2.3); None where it says neither."""
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(said)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp())


def _client(base_url: str, key: str, seconds: float) -> AsyncOpenAI:
    from openai import AsyncOpenAI, Timeout

    limit = Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
    return AsyncOpenAI(base_url=base_url, api_key=key, timeout=limit, max_retries=0)


def _reply(completion: Any) -> Reply:
    """Read out of plain JSON: a server that is no model's, a login page for instance, answers 200 with anything."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Refused("the server's answer has no choices; is it an OpenAI-compatible endpoint?")
    message, reason = choices[0].get("message"), str(choices[0].get("finish_reason"))
    if not isinstance(message, dict):
        raise Refused("the server's answer has no message; is it an OpenAI-compatible endpoint?")
    tokens_in, tokens_out = _usage(completion.get("usage"))
    content = message.get("content")
    if message.get("refusal"):
        return Reply("", "refusal", tokens_in, tokens_out)
    # A reasoning model whose room was all used up by its reasoning has no content.
    if content is None:
        return Reply("", reason if reason != "stop" else "no content", tokens_in, tokens_out)
    if not isinstance(content, str):
        raise Refused("the server's answer is no text")
    return Reply(content, reason, tokens_in, tokens_out)


def _usage(usage: Any) -> tuple[int, int]:
    if not isinstance(usage, dict):
        return 0, 0
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    tokens_in, tokens_out = (count if type(count) is int and count >= 0 else 0 for count in counts)
    return tokens_in, tokens_out


def _was_refused(error: BaseException) -> bool:
    """Whether no connection came about, at any depth of the cause."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__name__ == "ConnectError" or isinstance(seen, ConnectionRefusedError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _said(error: Exception) -> str:
    """A server's own words in one short line; never headers, never the key."""
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    if isinstance(said, dict):
        said = said.get("message")
    return "".join(c for c in " ".join(str(said).split()) if c.isprintable())[:300] if said else ""
