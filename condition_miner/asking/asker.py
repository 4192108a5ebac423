"""Many questions at once: out of the cache where the answer is known, else to the model, bounded and resumable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Answer, Question
from condition_miner.asking.attempts import Ask, Unanswered, valid_answer
from condition_miner.asking.budget import Budget, BudgetSpent
from condition_miner.asking.sending import Sender, Stopped
from condition_miner.asking.workers import interruptible
from condition_miner.errors import MiningFailed
from condition_miner.model.address import IN_PROCESS, Address
from condition_miner.model.backend import BadRequest, Busy, Refused, Reply
from condition_miner.model.dialect import (
    STRICTEST_FIRST,
    Dialect,
    Mode,
    known_dialect,
    less_strict,
    probe,
    probe_question,
)
from condition_miner.model.origin import connect
from condition_miner.model.reading import InvalidAnswer
from condition_miner.settings import ServiceSettings
from prompt_bank.recording.store import now

MOST_REASONS = 5
"""Reasons of failures that an error lists."""

Progress = Callable[[str, int, int], None]
"""Called with stage, questions answered, questions in all."""
Notice = Callable[[str], None]
"""Called with what the user should know."""


class NotAsked(Exception):
    """A dry run came to the questions of a stage that would be sent now, as they would go on the wire."""

    def __init__(self, stage: str, questions: list[Question]) -> None:
        self.stage, self.questions = stage, questions
        super().__init__(f"{len(questions)} questions of stage {stage}")


@dataclass
class Asker:
    """Answers questions.

    Attributes:
        cache: where answers are looked up and kept.
        address: the endpoint.
        service: how requests are sent.
        offline: the cache alone.
        progress: told after each answer.
        notice: told what the user should know.
        retry_failed: ask again what failed for good in an earlier run.
        dry: send nothing, and say what would be sent.
        budget: tokens of this run.
        sent: how many requests left this process.
        modes: how the answers that were given were asked for, and how many of each.
    """

    cache: AnswerCache
    address: Address
    service: ServiceSettings
    offline: bool
    progress: Progress
    notice: Notice = lambda text: None
    retry_failed: bool = False
    dry: bool = False
    budget: Budget = field(init=False)
    sent: int = field(default=0, init=False)
    modes: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.service.budget_tokens)
        self._dialect: Dialect | None = None
        self._fallen: dict[str, Mode] = {}

    def answers(self, asks: list[Ask]) -> list[Answer]:
        """The answers in the questions' order; each one is kept in the cache the moment it is valid.

        Raises:
            MiningFailed: some could not be had; what was answered is kept, a second run asks for the rest.
            KeyboardInterrupt: the user interrupted; what was answered is kept.
            NotAsked: some would be sent now, and this is a dry run.
        """
        if not asks:
            return []
        work = _Work(asks)
        damaged = len(self.cache.damaged)
        for ask in work.asks:
            self._look_up(ask, work)
        if len(self.cache.damaged) > damaged:
            count = len(self.cache.damaged) - damaged
            self.notice(f"{count} damaged rows of the answer cache count as missing (fedmpt cache verify lists them)")
        self.progress(work.stage, len(work.found), len(work.asks))
        if work.missing and self.dry:
            dialect = self._known_dialect(asks[0].question)
            raise NotAsked(work.stage, [dialect.question(ask.question) for ask in work.missing])
        if work.missing and self.offline:
            raise MiningFailed(
                f"offline: the cache lacks {len(work.missing)} of {len(work.asks)} answers of stage {work.stage}; "
                "run again without --offline, or import the answers (fedmpt cache import FILE)"
            )
        if work.missing:
            self._leave_out_failed(work)
        if work.missing:
            asyncio.run(self._ask_all(work))
        if work.over or work.failures or work.left_out:
            self._fail(work)
        self.modes.update(work.modes.values())
        return [work.found[ask.question.key] for ask in asks]

    def recorded(self) -> dict[str, dict[str, int]]:
        """What a bank's provenance says of the answers: by which mode they were asked for, and how many by each."""
        return {"asked_by": dict(sorted(self.modes.items()))}

    def _look_up(self, ask: Ask, work: _Work) -> None:
        """The cached answer, however it was asked for, if it passes today's checks."""
        dialect = self._known_dialect(ask.question)
        for mode in _first(dialect.mode):
            answer = self.cache.get(dialect.question(ask.question, mode))
            if answer is None:
                continue
            try:
                ask.check(answer.text)
            except InvalidAnswer:
                continue
            work.keep(ask, answer, mode)
            return
        work.missing.append(ask)

    def _leave_out_failed(self, work: _Work) -> None:
        """What failed for good in an earlier run is not paid for again, unless the user wants it to."""
        if self.retry_failed:
            return
        asked_again = []
        for ask in work.missing:
            failure = self.cache.failure(ask.question)
            if failure is None:
                asked_again.append(ask)
            else:
                work.left_out.append(failure.reason)
        work.missing = asked_again

    def _known_dialect(self, question: Question) -> Dialect:
        """What is known of the server without asking it."""
        if self._dialect is None:
            if self.address.endpoint == IN_PROCESS:
                return Dialect(Mode.WORDS)
            answer = self.cache.get(probe_question(question.endpoint, str(question.body["model"])))
            self._dialect = known_dialect(answer) if answer else None
        return self._dialect or Dialect()

    async def _ask_all(self, work: _Work) -> None:
        service, where = self.service, self.address.shown
        async with connect(self.address, service) as backend:
            sender = Sender(backend, service, self.budget, where)
            try:
                dialect = await self._spoken(sender, work.missing[0].question)
                queue = list(reversed(work.missing))
                async with interruptible(sender, self.notice) as crew:
                    for _ in range(min(service.concurrency, len(queue))):
                        crew.start(self._work(sender, dialect, queue, work))
            except BudgetSpent:
                work.over = True
            finally:
                self.sent += sender.sent

    async def _spoken(self, sender: Sender, question: Question) -> Dialect:
        """The server's dialect: as known, else found out and kept."""
        known = self._known_dialect(question)
        if self._dialect is not None or self.address.endpoint == IN_PROCESS:
            return known
        asked = probe_question(question.endpoint, str(question.body["model"]))
        try:
            self._dialect, answer = await probe(sender.send, asked, now())
        except Refused as error:
            raise MiningFailed(f"{self.address.shown}: the first question failed: {error}") from error
        self.cache.put(asked, answer)
        if self._dialect.mode is not Mode.SCHEMA:
            self.notice(f"this server does not obey JSON schemas; answers are asked for by {self._dialect.mode}")
        return self._dialect

    async def _work(self, sender: Sender, dialect: Dialect, queue: list[Ask], work: _Work) -> None:
        """Take questions until there are none left."""
        while queue and not sender.stopping:
            ask = queue.pop()
            try:
                answer, mode = await self._ask(sender, dialect, ask)
            except BudgetSpent:
                work.over = True
                queue.clear()
                return
            except Stopped:
                return
            except Refused as error:
                work.failures.append(str(error))
                if not isinstance(error, Busy):
                    requests = error.requests if isinstance(error, Unanswered) else 0
                    self.cache.fail(ask.question, str(error), requests, now())
                continue
            self.cache.put(dialect.question(ask.question, mode), answer)
            self.cache.forget(ask.question)
            work.keep(ask, answer, mode)
            self.progress(work.stage, len(work.found), len(work.asks))

    async def _ask(self, sender: Sender, dialect: Dialect, ask: Ask) -> tuple[Answer, Mode]:
        """One valid answer; a form that the server refuses is given up for a less strict one."""
        stage, attempts = ask.question.stage, self.service.attempts
        failure = self.cache.failure(ask.question)
        earlier = failure.requests if failure else 0
        mode = begun = self._fallen.get(stage, dialect.mode)
        while True:
            try:
                answer = await valid_answer(partial(self._send, sender, dialect, mode), ask, attempts, earlier)
            except BadRequest as error:
                if mode is Mode.WORDS or _too_long(error):
                    raise Refused(str(error)) from error
                mode, refusal = less_strict(mode), error
                continue
            if mode is not begun and stage not in self._fallen:
                self._fallen[stage] = mode
                self.notice(f"stage {stage}: the server refuses {begun} ({refusal}); asked for by {mode} instead")
            return answer, mode

    @staticmethod
    async def _send(sender: Sender, dialect: Dialect, mode: Mode, body: dict[str, Any]) -> Reply:
        return await sender.send(dialect.body(body, mode))

    def _fail(self, work: _Work) -> NoReturn:
        """Say what is missing and why."""
        count, stage = len(work.asks), work.stage
        lines = []
        if work.over:
            lines.append(
                f"the budget of {self.budget.most} tokens is used up ({self.budget.spent} spent): "
                f"stage {stage} lacks {count - len(work.found)} of {count} answers. The others are kept; "
                "run the same command again for the rest"
            )
        if work.failures:
            lines.append(
                f"{len(work.failures)} of {count} questions of stage {stage} failed: {_counted(work.failures)}. "
                "The other answers are kept; run the same command again for the rest "
                "(--retry-failed for those that the model could not answer; fedmpt cache info lists them)"
            )
        if work.left_out:
            lines.append(
                f"{len(work.left_out)} of {count} questions of stage {stage} failed in an earlier run: "
                f"{_counted(work.left_out)}. Ask them again with --retry-failed"
            )
        raise MiningFailed("\n".join(lines))


class _Work:
    """The questions of one call, each once, and how far they are."""

    def __init__(self, asks: list[Ask]) -> None:
        self.asks = list({ask.question.key: ask for ask in asks}.values())
        self.stage = asks[0].question.stage
        self.found: dict[str, Answer] = {}
        self.modes: dict[str, str] = {}
        self.missing: list[Ask] = []
        self.failures: list[str] = []
        self.left_out: list[str] = []
        self.over = False

    def keep(self, ask: Ask, answer: Answer, mode: Mode) -> None:
        """Note an answer."""
        key = ask.question.key
        self.found[key] = answer
        self.modes[key] = str(mode)


def _first(mode: Mode) -> list[Mode]:
    return [mode, *(other for other in STRICTEST_FIRST if other is not mode)]


def _too_long(error: BadRequest) -> bool:
    """Whether a request was refused for its length: another form would be too long as well."""
    return any(word in str(error).lower() for word in ("context", "too long", "too large"))


def _counted(reasons: list[str]) -> str:
    most = Counter(reasons).most_common(MOST_REASONS)
    more = len(set(reasons)) - len(most)
    listed = "; ".join(f"{count} × {reason}" for reason, count in most)
    return f"{listed}; and {more} other reasons" if more else listed
