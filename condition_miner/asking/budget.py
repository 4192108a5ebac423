"""The token budget of a run, and estimates of token counts."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from condition_miner.model.backend import Reply

BYTES_PER_TOKEN = 4.0
"""UTF-8 bytes per token of English text and JSON, approximately."""
SAFETY_FACTOR = 1.5
"""A request reserves this multiple of its estimated prompt tokens: other scripts have fewer bytes per token."""
TOKENS_PER_MESSAGE = 8
"""Tokens that a chat template adds to a message, approximately."""


class BudgetExceeded(Exception):
    """The next request could exceed the token budget, so it was not sent."""


def estimate_prompt_tokens(body: dict[str, Any]) -> int:
    """Estimated tokens of a request's messages, or of its prompts."""
    if "prompt" in body:
        prompts = [body["prompt"]] if isinstance(body["prompt"], str) else body["prompt"]
        return sum(math.ceil(len(prompt.encode(errors="replace")) / BYTES_PER_TOKEN) for prompt in prompts)
    texts = [str(message["content"]) for message in body["messages"]]
    return sum(math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE for text in texts)


def max_output_tokens(body: dict[str, Any]) -> int:
    """The limit of output tokens in a request body; 0 if it has none."""
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)


class Budget:
    """Counts and limits the tokens of a run.

    Args:
        limit: the most input and output tokens together; None for no limit.

    Attributes:
        spent_in, spent_out: tokens as the server counted them, or estimates if it didn't.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.spent_in = self.spent_out = 0
        self._reserved = 0
        self._freed: asyncio.Event | None = None

    @property
    def spent(self) -> int:
        """Input and output tokens together."""
        return self.spent_in + self.spent_out

    @asynccontextmanager
    async def reserved(self, body: dict[str, Any]) -> AsyncIterator[None]:
        """Reserve the most tokens that a request may use, while it is in flight.

        Waits for other requests, which usually use less than they reserved.

        Raises:
            BudgetExceeded: the request could exceed the budget, and no other one is in flight.
        """
        wanted = 0 if self.limit is None else _most_tokens(body)
        while self.limit is not None and self.spent + self._reserved + wanted > self.limit:
            if not self._reserved:
                raise BudgetExceeded
            self._freed = self._freed or asyncio.Event()
            await self._freed.wait()
        self._reserved += wanted
        try:
            yield
        finally:
            self._reserved -= wanted
            if self._freed:
                self._freed.set()
                self._freed = None

    def spend(self, body: dict[str, Any], reply: Reply) -> None:
        """Count the tokens of an answer, valid or not."""
        self.spent_in += reply.tokens_in or estimate_prompt_tokens(body)
        self.spent_out += reply.tokens_out or math.ceil(len(reply.text.encode(errors="replace")) / BYTES_PER_TOKEN)


def _most_tokens(body: dict[str, Any]) -> int:
    """The most tokens that a request may use."""
    return math.ceil(SAFETY_FACTOR * estimate_prompt_tokens(body)) + max_output_tokens(body)


def estimate_json_tokens(value: Any) -> int:
    """Estimated tokens of a value as JSON."""
    return math.ceil(len(json.dumps(value, ensure_ascii=False).encode(errors="replace")) / BYTES_PER_TOKEN)
