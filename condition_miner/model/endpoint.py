"""The backend for OpenAI-compatible endpoints, with clear errors for every way in which one fails."""

from __future__ import annotations

import asyncio
import math
import os
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from condition_miner.errors import MinerError, MiningFailed
from condition_miner.model.address import LOCAL, Address
from condition_miner.model.backend import BadRequest, Reply, RequestFailed, TransientFailure
from condition_miner.model.refusals import error_in, failure
from condition_miner.model.replies import model_names, reply_to, stream_content
from condition_miner.model.untrusted import MAX_BODY_BYTES, Unreadable, load_json, words
from condition_miner.settings import ServiceSettings

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

NO_KEY = "none"
"""What is sent where no key is set; a client must send one."""
AZURE = (".azure.com", ".azure-api.net")
"""Hosts that take the key in a header of their own."""


class Endpoint:
    """A client of an endpoint; an async context manager. It does not retry: asking/sending.py does.

    Args:
        address: address of the endpoint.
        service: time limit of a request.
        most_bytes: of a response.

    Raises:
        MinerError: the endpoint is not on this machine and OPENAI_API_KEY is not set, or it can't be a key; the
            environment names a proxy or certificates that can't be used.
    """

    def __init__(self, address: Address, service: ServiceSettings, most_bytes: int = MAX_BODY_BYTES) -> None:
        self._where = address.display
        self._seconds = service.timeout
        self._client = _client(address, service.timeout, most_bytes)
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
            listed = model_names(await self.content("GET", "/models", None))
        except MiningFailed as error:
            if isinstance(error.__cause__, UnknownPath):
                raise MiningFailed(f"{error}; name a model with --model") from error
            raise
        except RequestFailed as error:
            raise MiningFailed(f"{self._where}: no list of models ({error}); name one with --model") from error
        if listed is None:
            raise MiningFailed(
                f"{self._where}: no list of models (is it an OpenAI-compatible endpoint?); name one with --model"
            )
        return listed

    async def complete(self, body: dict[str, Any]) -> Reply:
        """Send one request, without retries.

        Raises:
            RequestFailed: this request failed; TransientFailure and BadRequest are special cases.
            MiningFailed: no request can succeed: unreachable server, no permission, unknown model.
        """
        path = "/completions" if "prompt" in body else "/chat/completions"
        try:
            content = await self.content("POST", path, body)
        except (MiningFailed, RequestFailed) as error:
            if "prompt" in body and isinstance(error.__cause__, UnknownPath):
                raise BadRequest("this server has no completions besides chats", "logprobs") from error
            raise
        reply = reply_to(body, content)
        self._answered = True
        return reply

    async def content(
        self, method: str, path: str, body: dict[str, Any] | None = None, file: tuple[str, bytes] | None = None
    ) -> Any:
        """The JSON of a response that is no error.

        Raises:
            RequestFailed: as `complete`.
            MiningFailed: as `complete`.
        """
        response = await self.response(method, path, body, file)
        try:
            content = _json_of(response)
        except Unreadable as error:
            raise TransientFailure(
                f"the server's answer is not JSON ({error}); is it an OpenAI-compatible endpoint?"
            ) from error
        found = error_in(content)
        if found and method == "POST":
            status, told = found
            raise failure(status, told, self._where, retry_after(response.headers), in_body=True)
        return content

    async def response(
        self, method: str, path: str, body: dict[str, Any] | None = None, file: tuple[str, bytes] | None = None
    ) -> httpx2.Response:
        """The response to a request, whose status is no error.

        Args:
            method: GET or POST.
            path: behind the base URL.
            body: of a POST, sent as JSON; as a form if there is a file.
            file: its name and its content.

        Raises:
            RequestFailed: as `complete`.
            MiningFailed: as `complete`.
        """
        import httpx2

        options: dict[str, Any] = {}
        if file is not None:
            options = {"files": [("file", file)], "options": {"headers": {"Content-Type": "multipart/form-data"}}}
        try:
            # The client's own time limit is per read, which a slowly trickling answer never exceeds.
            async with asyncio.timeout(self._seconds):
                if method == "GET":
                    return await self._client.get(path, cast_to=httpx2.Response)
                return await self._client.post(path, cast_to=httpx2.Response, body=body, **options)
        except Exception as error:
            raise self._classify(error) from _harmless(error)

    def _classify(self, error: Exception) -> RequestFailed | MiningFailed:
        """The failure of this request, or of the whole run, that an error of the client means."""
        import openai

        refused = _cause_of(error, "BodyRefused")
        if refused is not None:
            return MiningFailed(f"{self._where}: {refused}; is it an OpenAI-compatible endpoint?")
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return TransientFailure(f"no answer in {self._seconds:g} s (--timeout)", overloaded=True)
        if isinstance(error, openai.APIStatusError):
            return self._by_status(error)
        if isinstance(error, openai.APIConnectionError):
            return self._by_connection(error)
        if isinstance(error, zlib.error):
            return TransientFailure("the server's answer cannot be unpacked")
        return TransientFailure(f"the server's answer cannot be read ({type(error).__name__})")

    def _by_connection(self, error: Exception) -> TransientFailure | MiningFailed:
        if _cause_of(error, "error") is not None:
            return TransientFailure("the server's answer cannot be unpacked")
        certificate = _cause_of(error, "SSLCertVerificationError")
        if certificate is not None:
            return MiningFailed(f"{self._where}: its certificate is not trusted ({words(certificate)})")
        if _cause_of(error, "ConnectError", "ConnectionRefusedError") is None:
            return TransientFailure("the connection broke")
        if self._answered:
            return TransientFailure("no server answers there any more")
        return MiningFailed(f"{self._where}: no server answers there; start one, or name another with --base-url")

    def _by_status(self, error: Any) -> RequestFailed | MiningFailed:
        status: int = error.status_code
        if 300 <= status < 400:
            place = words(error.response.headers.get("location", "nowhere"))
            return MiningFailed(
                f"{self._where}: answers that it is to be found at {place} ({status}); nothing is sent there. "
                "If you trust that place, name it with --base-url"
            )
        try:
            body = load_json(error.response.content)
        except Unreadable:
            body = error.response.content.decode("utf-8", "replace")
        return failure(status, body, self._where, retry_after(error.response.headers))


class UnknownPath(Exception):
    """The server answered that the path of a request is none of its own."""


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


def api_key(address: Address) -> str:
    """The address's own key, else that in OPENAI_API_KEY, without blanks around it.

    Raises:
        MinerError: there is none and the endpoint is not on this machine, or it has a sign that no key has. The
            message does not show it.
    """
    if address.key is not None:
        return address.key
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key and address.endpoint != LOCAL:
        raise MinerError(
            f"{address.endpoint} wants a key: set OPENAI_API_KEY; or name a server of your own with --base-url"
        )
    if any(not "!" <= sign <= "~" for sign in key):
        raise MinerError("OPENAI_API_KEY has a blank, a line break or another sign that no key has: set it anew")
    return key or NO_KEY


def _client(address: Address, seconds: float, most_bytes: int) -> AsyncOpenAI:
    from condition_miner.model.http import client_for

    key, http = api_key(address), client_for(address, seconds, most_bytes)
    from openai import AsyncOpenAI

    headers = {"api-key": key} if address.host.endswith(AZURE) else None
    return AsyncOpenAI(
        base_url=address.request_url,
        api_key=key,
        timeout=http.timeout,
        max_retries=0,
        http_client=http,
        default_query=address.query,
        default_headers=headers,
    )


def _json_of(response: Any) -> Any:
    """The JSON of a response, whatever type of content its header says.

    Raises:
        Unreadable: it has none.
    """
    content: bytes = response.content
    start = content[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"data:", b"event:")):
        return stream_content(content.decode("utf-8", "replace"))
    return load_json(content)


def _harmless(error: Exception) -> Exception | None:
    """The error as the cause of ours, unless it may show the request's headers, and so the key."""
    status = getattr(error, "status_code", None)
    if status in (404, 405, 501):
        return UnknownPath(str(status))
    return None


def _cause_of(error: BaseException, *names: str) -> BaseException | None:
    """The cause of an error, at any depth, whose class has one of these names."""
    seen: BaseException | None = error
    for _ in range(20):
        if seen is None or type(seen).__name__ in names:
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
