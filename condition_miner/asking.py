"""Many questions at once: out of the cache where the answer is known, else to the endpoint, bounded and resumable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from condition_miner.answers import InvalidAnswer
from condition_miner.cache import Answer, AnswerCache, Question
from condition_miner.endpoint import Address, Endpoint, Refused, Reply
from condition_miner.errors import MiningFailed
from condition_miner.settings import ServiceSettings

MOST_ROOM = 4
"""An answer that was cut off gets at most so many times the room that it was first given."""

Check = Callable[[str], object]
"""Raises InvalidAnswer where a raw answer cannot be used."""
Progress = Callable[[str, int, int], None]
"""Called with stage, questions answered, questions in all."""


@dataclass(frozen=True)
class Ask:
    """A question and what makes an answer to it valid."""

    question: Question
    check: Check


@dataclass
class Asker:
    """Answers questions.

    Attributes:
        cache: where answers are looked up and kept.
        address: the endpoint.
        service: how requests are sent.
        offline: the cache alone.
        progress: told after each answer.
        sent: how many requests left this process.
    """

    cache: AnswerCache
    address: Address
    service: ServiceSettings
    offline: bool
    progress: Progress
    sent: int = field(default=0, init=False)

    def answers(self, asks: list[Ask]) -> list[Answer]:
        """The answers in the questions' order; each one is kept in the cache the moment it is valid.

        Raises:
            MiningFailed: some could not be had; what was answered is kept, a second run asks for the rest.
        """
        found = {ask.question.key: answer for ask in asks if (answer := self._known(ask)) is not None}
        missing = [ask for ask in asks if ask.question.key not in found]
        stage = asks[0].question.stage if asks else ""
        self.progress(stage, len(found), len(asks))
        if missing and self.offline:
            raise MiningFailed(
                f"offline: the cache lacks {len(missing)} of {len(asks)} answers of stage {stage}; "
                "run again without --offline, or import the answers (fedmpt cache import FILE)"
            )
        if missing:
            asyncio.run(self._ask_all(missing, found, len(asks)))
        return [found[ask.question.key] for ask in asks]

    def _known(self, ask: Ask) -> Answer | None:
        """The cached answer, if it passes today's checks."""
        answer = self.cache.get(ask.question)
        if answer is None:
            return None
        try:
            ask.check(answer.text)
        except InvalidAnswer:
            return None
        return answer

    async def _ask_all(self, missing: list[Ask], found: dict[str, Answer], count: int) -> None:
        failures: list[str] = []
        queue = list(reversed(missing))
        async with Endpoint(self.address, self.service) as endpoint:

            async def worker() -> None:
                while queue:
                    ask = queue.pop()
                    try:
                        answer = await self._ask(endpoint, ask)
                    except Refused as error:
                        failures.append(str(error))
                        continue
                    self.cache.put(ask.question, answer)
                    found[ask.question.key] = answer
                    self.progress(ask.question.stage, len(found), count)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.service.concurrency, len(missing))):
                        group.create_task(worker())
            except* MiningFailed as errors:
                raise errors.exceptions[0] from None
        if failures:
            reasons = dict.fromkeys(failures)
            listed = "; ".join(f"{failures.count(reason)} × {reason}" for reason in list(reasons)[:5])
            raise MiningFailed(
                f"{len(failures)} of {count} questions of stage {missing[0].question.stage} failed: {listed}. "
                "The other answers are kept; run the same command again for the rest"
            )

    async def _ask(self, endpoint: Endpoint, ask: Ask) -> Answer:
        """One valid answer: a cut one is asked for again with more room, an invalid one with what was wrong."""
        body: dict[str, Any] = dict(ask.question.body)
        room = body["max_tokens"]
        used = [0, 0]
        problem = ""
        for attempt in range(1, self.service.attempts + 1):
            self.sent += 1
            reply = await endpoint.ask(body)
            used[0] += reply.tokens_in
            used[1] += reply.tokens_out
            try:
                _whole(reply)
                ask.check(reply.text)
            except InvalidAnswer as error:
                problem = str(error)
                cut = reply.finish_reason == "length"
                body = _more_room(body, room) if cut else _told(ask.question.body, reply.text, problem, attempt)
                continue
            return Answer(reply.text, reply.finish_reason, used[0], used[1], attempt, _now())
        raise Refused(f"no valid answer in {self.service.attempts} attempts ({problem})")


def _whole(reply: Reply) -> None:
    if reply.finish_reason != "stop":
        raise InvalidAnswer(f"the answer was not finished (finish_reason {reply.finish_reason})")


def _more_room(body: dict[str, Any], first: int) -> dict[str, Any]:
    # A model that runs in circles fills any room, so its draw is changed too.
    room = min(2 * body["max_tokens"], MOST_ROOM * first)
    return {**body, "max_tokens": room, "seed": body["seed"] + 1}


def _told(body: dict[str, Any], answer: str, problem: str, attempt: int) -> dict[str, Any]:
    again = f"Your answer cannot be used: {problem}. Answer again, with JSON of the asked form only."
    talk = [
        *body["messages"],
        {"role": "assistant", "content": answer[:4000]},
        {"role": "user", "content": again},
    ]
    return {**body, "messages": talk, "seed": body["seed"] + attempt, "temperature": max(0.5, body["temperature"])}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
