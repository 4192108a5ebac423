"""One question until its answer is valid: more room, what was wrong, another draw; bounded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from condition_miner.answers.records import Answer, Question
from condition_miner.model.backend import Refused, Reply
from condition_miner.model.reading import InvalidAnswer, without_thinking
from prompt_bank.recording.store import now

MOST_ROOM = 4
"""An answer that was cut off gets at most so many times the room that it was first given."""
Check = Callable[[str], object]
"""Raises InvalidAnswer where a raw answer cannot be used."""
Send = Callable[[dict[str, Any]], Awaitable[Reply]]
"""Sends a body that asks by JSON schema."""


class Unanswered(Refused):
    """No valid answer in so many requests, earlier runs' included."""

    def __init__(self, problem: str, requests: int) -> None:
        self.requests = requests
        super().__init__(f"no valid answer in {requests} attempts ({problem})")


@dataclass(frozen=True)
class Ask:
    """A question, asked by JSON schema, and what makes an answer to it valid."""

    question: Question
    check: Check


async def valid_answer(send: Send, ask: Ask, attempts: int, earlier: int = 0) -> Answer:
    """One valid answer.

    A cut one is asked for again with more room; an invalid one with what was wrong and, by turns, as if for the
    first time: a small model tends to repeat what stands in the talk.

    Args:
        send: sends a body.
        ask: the question.
        attempts: requests at the most.
        earlier: how many an earlier run made in vain; the draws begin after theirs.

    Raises:
        Unanswered: none was valid.
        Refused: a request failed.
    """
    first = body = _redrawn(ask.question.body, earlier) if earlier else ask.question.body
    tokens_in = tokens_out = 0
    problem = ""
    for attempt in range(1, attempts + 1):
        reply = await send(body)
        tokens_in += reply.tokens_in
        tokens_out += reply.tokens_out
        try:
            _whole(reply)
            ask.check(reply.text)
        except InvalidAnswer as error:
            problem = str(error)
        else:
            return Answer(reply.text, reply.finish_reason, tokens_in, tokens_out, attempt, now())
        if reply.finish_reason == "length":
            body = _more_room(body, first["max_tokens"])
        elif attempt % 2:
            body = _told(first, reply.text, problem, attempt)
        else:
            body = _redrawn(first, attempt)
    raise Unanswered(problem, earlier + attempts)


def _whole(reply: Reply) -> None:
    if reply.finish_reason == "refusal":
        raise InvalidAnswer("the model declined to answer")
    if reply.finish_reason != "stop":
        raise InvalidAnswer(f"the answer was not finished (finish_reason {reply.finish_reason})")


def _more_room(body: dict[str, Any], first: int) -> dict[str, Any]:
    # A model that runs in circles fills any room, so its draw is changed too.
    room = min(2 * body["max_tokens"], MOST_ROOM * first)
    return {**body, "max_tokens": room, "seed": body["seed"] + 1}


def _redrawn(body: dict[str, Any], attempt: int) -> dict[str, Any]:
    return {**body, "seed": body["seed"] + attempt, "temperature": max(0.5, body["temperature"])}


def _told(body: dict[str, Any], answer: str, problem: str, attempt: int) -> dict[str, Any]:
    again = f"Your answer cannot be used: {problem}. Answer again, with JSON of the asked form only."
    talk = [
        *body["messages"],
        {"role": "assistant", "content": without_thinking(answer)[:4000] or "…"},
        {"role": "user", "content": again},
    ]
    return {**_redrawn(body, attempt), "messages": talk}
