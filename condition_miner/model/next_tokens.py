"""Log-probabilities of the next token: how they are requested, read from a server's answer, and kept as text."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from condition_miner.answers.records import canonical_json
from condition_miner.model.reading import InvalidAnswer

DIGITS = 3
"""Decimals of a log-probability that are kept."""


@dataclass(frozen=True)
class NextTokens:
    """Log-probabilities of the token that follows each of P prompts.

    Attributes:
        tokens: T texts of tokens, each once, with the space that they begin with.
        rows: P rows of T log-probabilities; None where the model's answer does not have one.
    """

    tokens: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]

    def text(self) -> str:
        """As the text of an answer."""
        rows = [[None if x is None else round(x, DIGITS) + 0.0 for x in row] for row in self.rows]
        return canonical_json({"tokens": self.tokens, "rows": rows})

    @classmethod
    def parse(cls, text: str, prompts: int) -> NextTokens:
        """From the text of an answer.

        Raises:
            InvalidAnswer: it has another form, or another number of prompts.
        """
        try:
            content = json.loads(text)
            tokens, rows = tuple(content["tokens"]), tuple(map(tuple, content["rows"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InvalidAnswer("there are no log-probabilities in the answer") from error
        numbers = all(len(row) == len(tokens) and _is_told(row) for row in rows)
        if not tokens or not numbers or len(rows) != prompts or not all(isinstance(token, str) for token in tokens):
            raise InvalidAnswer(f"the answer does not have the log-probabilities of {prompts} prompts")
        return cls(tokens, rows)

    def most_likely(self) -> list[str]:
        """For each prompt the token of the highest log-probability."""
        return [self.tokens[max(range(len(row)), key=lambda t: _or_least(row[t]))] for row in self.rows]


def next_token_body(model: str, prompts: Sequence[str], top: int) -> dict[str, Any]:
    """The body of a completion request for the `top` most likely next tokens of each prompt.

    The form is that of OpenAI's completions, except that a model in this process gives for each of several prompts all
    tokens that are among the most likely ones of any.
    """
    prompt = prompts[0] if len(prompts) == 1 else list(prompts)
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0, "logprobs": top}


def most_likely_of(choice: dict[str, Any]) -> NextTokens | None:
    """The most likely tokens in a choice of a server's answer, of a completion or a chat; None if there are none.

    Servers differ: a completion has them as {token: number} (OpenAI, vLLM) or in a chat's form (llama.cpp).
    """
    told = choice.get("logprobs")
    told = told if isinstance(told, dict) else {}
    content, tops = told.get("content"), told.get("top_logprobs")
    pairs: list[tuple[Any, Any]] = []
    if isinstance(content, list) and content and isinstance(content[0], dict):
        listed = content[0].get("top_logprobs")
        listed = listed if isinstance(listed, list) else []
        pairs = [(one.get("token"), one.get("logprob")) for one in listed if isinstance(one, dict)]
    elif isinstance(tops, list) and tops and isinstance(tops[0], dict):
        pairs = list(tops[0].items())
    found: dict[str, float] = {}
    for token, number in pairs:
        if isinstance(token, str) and _is_finite(number):
            found[token] = max(number, found.get(token, -math.inf))
    return NextTokens(tuple(found), (tuple(found.values()),)) if found else None


def _is_told(row: Sequence[object]) -> bool:
    """Whether a row has finite numbers or None alone, and at least one number."""
    told = [x for x in row if x is not None]
    return bool(told) and all(map(_is_finite, told))


def _is_finite(number: object) -> bool:
    """Whether it is a number that a float can hold: JSON has integers of any length, and Python's reader NaN."""
    return type(number) in (int, float) and abs(cast(float, number)) <= sys.float_info.max


def _or_least(number: float | None) -> float:
    return -math.inf if number is None else number
