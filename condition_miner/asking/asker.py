"""Answers questions from the cache, and the rest from the model: concurrently, within limits, resumable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Answer, Question
from condition_miner.asking.attempts import CheckedQuestion, NoValidAnswer, valid_answer
from condition_miner.asking.batch import Batch
from condition_miner.asking.budget import Budget, BudgetExceeded
from condition_miner.asking.sending import Sender, Stopped
from condition_miner.asking.workers import interruptible
from condition_miner.errors import MiningFailed
from condition_miner.model.address import IN_PROCESS, Address
from condition_miner.model.backend import BadRequest, Reply, RequestFailed, TransientFailure
from condition_miner.model.dialect import (
    STRICTEST_FIRST,
    Dialect,
    OutputMode,
    dialect_from,
    less_strict,
    probe,
    probe_question,
    wants_json,
)
from condition_miner.model.reading import InvalidAnswer
from condition_miner.model.resolving import connect
from condition_miner.settings import ServiceSettings
from prompt_bank.recording.store import now

MAX_REASONS = 5
"""Different reasons of failure that an error lists."""


class Unanswerable(MiningFailed):
    """Answers are missing that the server cannot give, now or in an earlier run; to send again would not help."""


Progress = Callable[[str, int, int], None]
"""Called with the stage, the number of answered questions and the number of all questions."""
Notice = Callable[[str], None]
"""Called with a message to the user."""


class DryRunStop(Exception):
    """Ends a dry run at the first stage with questions to send; has these questions as they would be sent."""

    def __init__(self, stage: str, questions: list[Question]) -> None:
        self.stage, self.questions = stage, questions
        super().__init__(f"{len(questions)} questions of stage {stage}")


@dataclass
class Asker:
    """Answers questions.

    Attributes:
        cache: the answer cache.
        address: the endpoint.
        service: limits of the requests.
        offline: whether to use the cache only.
        progress: called after each answer.
        notice: called with messages to the user.
        retry_failed: whether to ask questions again that the model could not answer in an earlier run.
        dry_run: whether to raise DryRunStop instead of sending.
        budget: the token budget of this run.
        sent: the number of requests sent so far.
        mode_counts: the number of answers in JSON by output mode.
    """

    cache: AnswerCache
    address: Address
    service: ServiceSettings
    offline: bool
    progress: Progress
    notice: Notice = lambda text: None
    retry_failed: bool = False
    dry_run: bool = False
    budget: Budget = field(init=False)
    sent: int = field(default=0, init=False)
    mode_counts: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.service.budget_tokens)
        self._dialect: Dialect | None = None
        self._fallback: dict[str, OutputMode] = {}

    def answers(self, questions: list[CheckedQuestion]) -> list[Answer]:
        """The answers, in the order of the questions. Each is cached as soon as it is valid.

        Raises:
            MiningFailed: answers are missing. Those received are cached, and another run asks for the rest only.
            KeyboardInterrupt: the user pressed Ctrl-C. The answers received are cached.
            DryRunStop: this is a dry run, and questions would be sent now.
        """
        if not questions:
            return []
        batch = Batch(questions)
        damaged = len(self.cache.damaged)
        for checked in batch.questions:
            self._look_up(checked, batch)
        if len(self.cache.damaged) > damaged:
            count = len(self.cache.damaged) - damaged
            self.notice(f"{count} damaged rows of the answer cache count as missing (fedmpt cache verify lists them)")
        self.progress(batch.stage, len(batch.found), len(batch.questions))
        if batch.missing and self.dry_run:
            dialect = self._known_dialect(questions[0].question)
            raise DryRunStop(batch.stage, [dialect.wire_question(checked.question) for checked in batch.missing])
        if batch.missing and self.offline:
            raise MiningFailed(
                f"offline: the cache lacks {len(batch.missing)} of {len(batch.questions)} answers "
                f"of stage {batch.stage}; "
                "run again without --offline, or import the answers (fedmpt cache import FILE)"
            )
        if batch.missing:
            self._skip_failed(batch)
        if batch.missing:
            asyncio.run(self._ask_all(batch))
        if batch.budget_exceeded or batch.failures or batch.skipped:
            self._raise_missing(batch)
        self.mode_counts.update(batch.modes.values())
        return [batch.found[checked.question.cache_key] for checked in questions]

    def cached(self, checked: CheckedQuestion) -> Answer | None:
        """The answer to a question if it is in the cache. Nothing is sent."""
        batch = Batch([checked])
        self._look_up(checked, batch)
        return batch.found.get(checked.question.cache_key)

    def provenance(self) -> dict[str, dict[str, int]]:
        """The part of a bank's provenance about the answers: how many were requested in each output mode."""
        return {"asked_by": dict(sorted(self.mode_counts.items()))}

    def _look_up(self, checked: CheckedQuestion, batch: Batch) -> None:
        """Take a cached answer of any output mode if it passes the current checks; else note that it is missing."""
        dialect = self._known_dialect(checked.question)
        for mode in _starting_with(dialect.mode):
            answer = self.cache.get(dialect.wire_question(checked.question, mode))
            if answer is None:
                continue
            try:
                checked.check(answer.text)
            except InvalidAnswer:
                continue
            batch.keep(checked, answer, mode)
            return
        batch.missing.append(checked)

    def _skip_failed(self, batch: Batch) -> None:
        """Skip questions that the model could not answer in an earlier run, unless they are to be retried."""
        if self.retry_failed:
            return
        asked_again = []
        for checked in batch.missing:
            failure = self.cache.failure(checked.question)
            if failure is None:
                asked_again.append(checked)
            else:
                batch.skipped.append(failure.reason)
        batch.missing = asked_again

    def _known_dialect(self, question: Question) -> Dialect:
        """The server's dialect as far as it is known without a request."""
        if self._dialect is None:
            if self.address.endpoint == IN_PROCESS:
                return Dialect(OutputMode.WORDS)
            answer = self.cache.get(probe_question(question.endpoint, str(question.body["model"])))
            self._dialect = dialect_from(answer) if answer else None
        return self._dialect or Dialect()

    async def _ask_all(self, batch: Batch) -> None:
        service, where = self.service, self.address.display
        async with connect(self.address, service) as backend:
            sender = Sender(backend, service, self.budget, where)
            try:
                dialect = await self._probed_dialect(sender, batch.missing[0].question)
                queue = list(reversed(batch.missing))
                async with interruptible(sender, self.notice) as workers:
                    for _ in range(min(service.concurrency, len(queue))):
                        workers.start(self._run_worker(sender, dialect, queue, batch))
            except BudgetExceeded:
                batch.budget_exceeded = True
            finally:
                self.sent += sender.sent

    async def _probed_dialect(self, sender: Sender, question: Question) -> Dialect:
        """The server's dialect: a known one, else that of a probe, which is cached."""
        known = self._known_dialect(question)
        if self._dialect is not None or self.address.endpoint == IN_PROCESS or "prompt" in question.body:
            return known
        asked = probe_question(question.endpoint, str(question.body["model"]))
        try:
            self._dialect, answer = await probe(sender.send, asked, now())
        except RequestFailed as error:
            raise MiningFailed(f"{self.address.display}: the first question failed: {error}") from error
        self.cache.put(asked, answer)
        if self._dialect.mode is not OutputMode.SCHEMA:
            self.notice(f"this server does not obey JSON schemas; answers are asked for by {self._dialect.mode}")
        return self._dialect

    async def _run_worker(self, sender: Sender, dialect: Dialect, queue: list[CheckedQuestion], batch: Batch) -> None:
        """Answer questions from the queue until it is empty."""
        while queue and not sender.stopping:
            checked = queue.pop()
            try:
                answer, mode = await self._valid_answer(sender, dialect, checked)
            except BudgetExceeded:
                batch.budget_exceeded = True
                queue.clear()
                return
            except Stopped:
                return
            except RequestFailed as error:
                batch.failures.append(str(error))
                batch.passing += isinstance(error, TransientFailure)
                if not isinstance(error, TransientFailure):
                    requests = error.requests if isinstance(error, NoValidAnswer) else 0
                    self.cache.put_failure(checked.question, str(error), requests, now())
                continue
            self.cache.put(dialect.wire_question(checked.question, mode), answer)
            self.cache.forget_failure(checked.question)
            batch.keep(checked, answer, mode)
            self.progress(batch.stage, len(batch.found), len(batch.questions))

    async def _valid_answer(
        self, sender: Sender, dialect: Dialect, checked: CheckedQuestion
    ) -> tuple[Answer, OutputMode]:
        """A valid answer. Falls back to a less strict output mode where the server refuses the request."""
        stage, attempts = checked.question.stage, self.service.attempts
        failure = self.cache.failure(checked.question)
        earlier = failure.requests if failure else 0
        mode = begun = self._fallback.get(stage, dialect.mode)
        while True:
            try:
                answer = await valid_answer(partial(self._send, sender, dialect, mode), checked, attempts, earlier)
            except BadRequest as error:
                if mode is OutputMode.WORDS or _too_long(error) or not wants_json(checked.question.body):
                    raise RequestFailed(str(error)) from error
                mode, refusal = less_strict(mode), error
                continue
            if mode is not begun and stage not in self._fallback:
                self._fallback[stage] = mode
                self.notice(f"stage {stage}: the server refuses {begun} ({refusal}); asked for by {mode} instead")
            return answer, mode

    @staticmethod
    async def _send(sender: Sender, dialect: Dialect, mode: OutputMode, body: dict[str, Any]) -> Reply:
        return await sender.send(dialect.wire_body(body, mode))

    def _raise_missing(self, batch: Batch) -> NoReturn:
        """Raise MiningFailed with the number of missing answers and the reasons."""
        count, stage = len(batch.questions), batch.stage
        lines = []
        if batch.budget_exceeded:
            lines.append(
                f"the budget of {self.budget.limit} tokens is used up ({self.budget.spent} spent): "
                f"stage {stage} lacks {count - len(batch.found)} of {count} answers. The others are kept; "
                "run the same command again for the rest"
            )
        if batch.failures:
            lines.append(
                f"{len(batch.failures)} of {count} questions of stage {stage} failed: {_tally(batch.failures)}. "
                "The other answers are kept; run the same command again for the rest "
                "(--retry-failed for those that the model could not answer; fedmpt cache info lists them)"
            )
        if batch.skipped:
            lines.append(
                f"{len(batch.skipped)} of {count} questions of stage {stage} failed in an earlier run: "
                f"{_tally(batch.skipped)}. Ask them again with --retry-failed"
            )
        kind = MiningFailed if batch.budget_exceeded or batch.passing else Unanswerable
        raise kind("\n".join(lines))


def _starting_with(mode: OutputMode) -> list[OutputMode]:
    return [mode, *(other for other in STRICTEST_FIRST if other is not mode)]


def _too_long(error: BadRequest) -> bool:
    """Whether a request was refused for its length, which another output mode would not reduce."""
    return any(word in str(error).lower() for word in ("context", "too long", "too large"))


def _tally(reasons: list[str]) -> str:
    most = Counter(reasons).most_common(MAX_REASONS)
    more = len(set(reasons)) - len(most)
    listed = "; ".join(f"{count} × {reason}" for reason, count in most)
    return f"{listed}; and {more} other reasons" if more else listed
