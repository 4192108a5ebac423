"""An OpenAI-compatible endpoint, and every way in which one fails, turned into words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from condition_miner.cache import LOCAL, identity
from condition_miner.errors import MinerError, MiningFailed
from condition_miner.settings import ServiceSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "https://api.openai.com/v1"


class Refused(Exception):
    """One request failed for good; others may succeed."""


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


@dataclass(frozen=True)
class Address:
    """Where the endpoint is. The key stays out of every text that is made of this."""

    base_url: str
    endpoint: str

    @classmethod
    def of(cls, base_url: str | None) -> Address:
        """From the option, else OPENAI_BASE_URL, else OpenAI's own.

        Raises:
            MinerError: not an http(s) address.
        """
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
        return cls(url, identity(url))


class Endpoint:
    """A connection to an endpoint; an async context manager.

    Args:
        address: where it is.
        settings: time limits and retries.

    Raises:
        MinerError: an endpoint away from this machine, and no OPENAI_API_KEY.
    """

    def __init__(self, address: Address, settings: ServiceSettings) -> None:
        key = os.environ.get("OPENAI_API_KEY")
        if not key and address.endpoint != LOCAL:
            raise MinerError(
                f"{address.endpoint} wants a key: set OPENAI_API_KEY; or name a server of your own with --base-url"
            )
        self._address = address
        self._client = _client(address.base_url, key or "none", settings)

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def models(self) -> list[str]:
        """The names of the models that are offered.

        Raises:
            MiningFailed: the endpoint cannot be reached or refuses.
        """
        try:
            page = await self._client.models.list()
            return [str(model.id) for model in page.data]
        except Exception as error:
            raise self._fatal(error) or MiningFailed(
                f"{self._address.endpoint}: no list of models ({_reason(error)}); name one with --model"
            ) from error

    async def ask(self, body: dict[str, Any]) -> Reply:
        """Send one request.

        Raises:
            Refused: this request failed: too many retries, a time limit, an answer that isn't one.
            MiningFailed: no request can succeed: not reachable, no permission, no such model.
        """
        try:
            completion = await self._client.chat.completions.create(**body)
        except Exception as error:
            fatal = self._fatal(error)
            if fatal:
                raise fatal from error
            raise Refused(_reason(error)) from error
        return _reply(completion)

    def _fatal(self, error: Exception) -> MiningFailed | None:
        """The error that ends the whole run, if this is one."""
        import openai

        where = self._address.endpoint if self._address.endpoint != LOCAL else self._address.base_url
        if isinstance(error, openai.APITimeoutError):
            return None
        if isinstance(error, openai.APIConnectionError) and _was_refused(error):
            return MiningFailed(f"{where}: no server answers there; start one, or name another with --base-url")
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return MiningFailed(f"{where}: the key was refused ({error.status_code}); check OPENAI_API_KEY")
        if isinstance(error, openai.NotFoundError):
            return MiningFailed(f"{where}: {_reason(error)}; check --model, and that --base-url ends in /v1")
        return None


def _client(base_url: str, key: str, settings: ServiceSettings) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    return AsyncOpenAI(base_url=base_url, api_key=key, timeout=settings.timeout, max_retries=settings.retries)


def _reply(completion: Any) -> Reply:
    # A server that is no model's, a login page for instance, answers 200 with something else.
    choices = getattr(completion, "choices", None)
    if not choices:
        raise Refused("the server's answer has no choices; is it an OpenAI-compatible endpoint?")
    message, reason = choices[0].message, str(choices[0].finish_reason)
    if getattr(message, "refusal", None):
        raise Refused("the model declined to answer")
    if message is None or message.content is None:
        raise Refused(f"the answer has no content (finish_reason {reason})")
    usage = completion.usage
    tokens_in, tokens_out = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return Reply(str(message.content), reason, int(tokens_in or 0), int(tokens_out or 0))


def _was_refused(error: BaseException) -> bool:
    """Whether the connection was refused or the host is not known, at any depth of the cause."""
    seen: BaseException | None = error
    while seen is not None:
        text = f"{type(seen).__name__} {seen}".lower()
        if "connecterror" in text or "refused" in text or "name or service not known" in text:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _reason(error: Exception) -> str:
    """A server's error in one short line; never headers, never the key."""
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    text = " ".join(str(said).split())[:200] if said else type(error).__name__
    return f"{status} {text}" if status else text
