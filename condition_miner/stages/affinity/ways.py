"""The way to ask that an endpoint allows, found by a few tiny probes: the first of `PROBES` that is answered.

A probe's answer is kept in the cache, a refusal among its failures: so each endpoint is probed once, and again with
--retry-failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from condition_miner.answers.records import Question
from condition_miner.asking.asker import Unanswerable
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.model.address import IN_PROCESS
from condition_miner.model.next_tokens import NextTokens, next_token_body
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.questions import Questions

TOPS = (100, 20)
"""Most likely next tokens that are asked for: 20 is the most that vLLM gives unless it is told otherwise."""
CHAT_TOP = 20
"""The most that OpenAI's chats give."""
SENTENCE = "This photograph was taken at the"
LEAST_CHANCE = 1e-20
CHAT = "Is the sky blue on a clear day? Answer with one word, yes or no."


@dataclass(frozen=True)
class Way:
    """A way to ask.

    Attributes:
        kind: as in the bank's Reading.
        top: most likely tokens to ask for; 0 where none are.
    """

    kind: Literal["next-token", "yes-no", "lists"]
    top: int = 0


def choose_way(questions: Questions) -> Way:
    """The best way that the endpoint allows.

    Raises:
        MiningFailed: no server answers.
    """
    asker = questions.asker
    if asker.address.endpoint == IN_PROCESS:
        return Way("next-token")
    probes = _probes(questions)
    for way, asked in probes:
        if asker.cached(asked):
            return way
    if asker.dry_run:
        return probes[0][0]
    with questions.sending_only("affinities"):
        if asker.offline:
            return Way("lists")  # the way that leaves no probe in the cache
        for way, asked in probes:
            try:
                asker.answers([asked])
            except Unanswerable:
                continue
            return way
    return Way("lists")


def yes_no_body(model: str, messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
    """The body of a chat whose one token is to be yes or no, with the log-probabilities of what it could have been."""
    body = {"model": model, "messages": messages, "temperature": 0.0, "seed": seed, "max_tokens": 1}
    return {**body, "logprobs": True, "top_logprobs": CHAT_TOP}


def parse_yes_no(text: str) -> float:
    """The log-odds of yes in an answer; where one of the two is missing it is taken to be just below the least token.

    Raises:
        InvalidAnswer: neither is among the most likely tokens.
    """
    answer = NextTokens.parse(text, 1)
    given = [(token, number) for token, number in zip(answer.tokens, answer.rows[0], strict=True) if number is not None]
    least = min(number for _, number in given) - 1
    odds = [
        [number for token, number in given if token.strip(" ▁Ġ\n\"'.").casefold() == said] for said in ("yes", "no")
    ]
    if not any(odds):
        raise InvalidAnswer("neither yes nor no is among the most likely tokens")
    yes, no = (sum(map(math.exp, numbers)) if numbers else math.exp(least) for numbers in odds)
    return math.log(max(yes, LEAST_CHANCE)) - math.log(max(no, LEAST_CHANCE))


def _probes(questions: Questions) -> list[tuple[Way, CheckedQuestion]]:
    def probe(body: dict[str, Any], check: Callable[[str], object]) -> CheckedQuestion:
        return CheckedQuestion(Question("affinity-probe", questions.asker.address.endpoint, body, ""), check)

    def enough(top: int) -> Callable[[str], object]:
        def check(text: str) -> None:
            given = len(NextTokens.parse(text, 1).tokens)
            if given < top // 2:
                raise InvalidAnswer(f"{given} log-probabilities instead of {top}")

        return check

    model = questions.model
    found = [(Way("next-token", top), probe(next_token_body(model, [SENTENCE], top), enough(top))) for top in TOPS]
    chat = yes_no_body(model, [{"role": "user", "content": CHAT}], 0)
    return [*found, (Way("yes-no", CHAT_TOP), probe(chat, parse_yes_no))]
