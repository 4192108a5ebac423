"""Repeats a question until its answer is valid: with a higher token limit, with feedback, with another seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from condition_miner.answers.records import Answer, Question
from condition_miner.model.backend import Reply, RequestFailed
from condition_miner.model.dialect import wants_json
from condition_miner.model.reading import InvalidAnswer, strip_reasoning
from prompt_bank.recording.store import now

MAX_TOKENS_FACTOR = 4
"""The highest token limit for a truncated answer, as a multiple of the first limit."""
Check = Callable[[str], object]
"""Raises InvalidAnswer if a raw answer is invalid."""
Send = Callable[[dict[str, Any]], Awaitable[Reply]]
"""Sends a request body, written with a JSON schema."""


class NoValidAnswer(RequestFailed):
    """All attempts gave invalid answers; `requests` counts those of earlier runs too."""

    def __init__(self, problem: str, requests: int) -> None:
        self.requests = requests
        super().__init__(f"no valid answer in {requests} attempts ({problem})")


@dataclass(frozen=True)
class CheckedQuestion:
    """A question, written with a JSON schema, and the check of its answers."""

    question: Question
    check: Check


async def valid_answer(send: Send, checked: CheckedQuestion, attempts: int, earlier: int = 0) -> Answer:
    """A valid answer.

    Log-probabilities are requested once.

    After a truncated answer the token limit is raised. After an invalid answer the question is repeated with another
    seed, alternately with feedback (the invalid answer and its problem) and without: a small model tends to repeat
    what is in the conversation.

    Args:
        send: sends a request body.
        checked: the question.
        attempts: the most requests.
        earlier: failed attempts of earlier runs; the seeds go on after theirs.

    Raises:
        NoValidAnswer: no attempt gave a valid answer.
        RequestFailed: a request failed.
    """
    if not wants_json(checked.question.body):
        return await _probabilities(send, checked)
    first = body = _resampled(checked.question.body, earlier) if earlier else checked.question.body
    tokens_in = tokens_out = 0
    problem = ""
    for attempt in range(1, attempts + 1):
        reply = await send(body)
        tokens_in += reply.tokens_in
        tokens_out += reply.tokens_out
        try:
            _check_finished(reply)
            checked.check(reply.text)
        except InvalidAnswer as error:
            problem = str(error)
        else:
            return Answer(reply.text, reply.finish_reason, tokens_in, tokens_out, attempt, now())
        if reply.finish_reason == "length":
            body = _with_higher_limit(body, first["max_tokens"])
        elif attempt % 2:
            body = _with_feedback(first, reply.text, problem, attempt)
        else:
            body = _resampled(first, attempt)
    raise NoValidAnswer(problem, earlier + attempts)


async def _probabilities(send: Send, checked: CheckedQuestion) -> Answer:
    """An answer of log-probabilities. They are the same each time, so they are requested once."""
    reply = await send(checked.question.body)
    try:
        checked.check(reply.text)
    except InvalidAnswer as error:
        raise NoValidAnswer(str(error), 1) from error
    return Answer(reply.text, reply.finish_reason, reply.tokens_in, reply.tokens_out, 1, now())


def _check_finished(reply: Reply) -> None:
    if reply.finish_reason == "refusal":
        raise InvalidAnswer("the model declined to answer")
    if reply.finish_reason != "stop":
        raise InvalidAnswer(f"the answer was not finished (finish_reason {reply.finish_reason})")


def _with_higher_limit(body: dict[str, Any], first: int) -> dict[str, Any]:
    # A model that repeats itself fills any limit, so the seed is changed too.
    max_tokens = min(2 * body["max_tokens"], MAX_TOKENS_FACTOR * first)
    return {**body, "max_tokens": max_tokens, "seed": body["seed"] + 1}


def _resampled(body: dict[str, Any], attempt: int) -> dict[str, Any]:
    return {**body, "seed": body["seed"] + attempt, "temperature": max(0.5, body["temperature"])}


def _with_feedback(body: dict[str, Any], answer: str, problem: str, attempt: int) -> dict[str, Any]:
    again = f"Your answer cannot be used: {problem}. Answer again, with JSON of the asked form only."
    conversation = [
        *body["messages"],
        {"role": "assistant", "content": strip_reasoning(answer)[:4000] or "…"},
        {"role": "user", "content": again},
    ]
    return {**_resampled(body, attempt), "messages": conversation}
