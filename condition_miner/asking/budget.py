"""Tokens: what a message costs about, and a limit that a run doesn't exceed."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from condition_miner.model.backend import Reply

BYTES_A_TOKEN = 4.0
"""Of English text and JSON in UTF-8, about; a reservation counts with fewer."""
CAUTION = 1.5
"""A request reserves so many times its estimate, since other scripts have fewer bytes a token."""
TOKENS_A_MESSAGE = 8
"""What a chat template adds, about."""


class BudgetSpent(Exception):
    """The next request could exceed the budget."""


def tokens_in(body: dict[str, Any]) -> int:
    """About how many tokens a request's messages are."""
    texts = [str(message["content"]) for message in body["messages"]]
    return sum(math.ceil(len(text.encode(errors="replace")) / BYTES_A_TOKEN) + TOKENS_A_MESSAGE for text in texts)


def room(body: dict[str, Any]) -> int:
    """How many tokens an answer may have."""
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)


class Budget:
    """Counts the tokens of a run.

    Args:
        most: in and out together; None for no limit.

    Attributes:
        spent_in, spent_out: as the server counted them, else as estimated.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.spent_in = self.spent_out = 0
        self._reserved = 0
        self._freed: asyncio.Event | None = None

    @property
    def spent(self) -> int:
        """In and out together."""
        return self.spent_in + self.spent_out

    @asynccontextmanager
    async def reserved(self, body: dict[str, Any]) -> AsyncIterator[None]:
        """Sets aside what a request may cost at the most, while it runs; waits for running ones where that may help.

        Raises:
            BudgetSpent: it could exceed the budget.
        """
        wanted = math.ceil(CAUTION * tokens_in(body)) + room(body) if self.most is not None else 0
        while self.most is not None and self.spent + self._reserved + wanted > self.most:
            if not self._reserved:
                raise BudgetSpent
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
        """Count an answer, valid or not."""
        self.spent_in += reply.tokens_in or tokens_in(body)
        self.spent_out += reply.tokens_out or math.ceil(len(reply.text.encode(errors="replace")) / BYTES_A_TOKEN)


def size(value: Any) -> int:
    """About how many tokens a value is as JSON."""
    return math.ceil(len(json.dumps(value, ensure_ascii=False).encode(errors="replace")) / BYTES_A_TOKEN)
