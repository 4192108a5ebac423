"""Answers questions from the cache, and the rest from the model: concurrently, within limits, resumable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Answer, Question
from condition_miner.asking.attempts import CheckedQuestion, NoValidAnswer, SchemaIgnored, valid_answer
from condition_miner.asking.batch import Batch, Missing
from condition_miner.asking.budget import Budget, BudgetExceeded
from condition_miner.asking.dialects import Dialects
from condition_miner.asking.sending import Sender, Stopped
from condition_miner.asking.stops import AnswersLater, DryRunStop
from condition_miner.asking.workers import interruptible
from condition_miner.errors import MiningFailed
from condition_miner.model.address import Address
from condition_miner.model.backend import (
    AnswerLater,
    Backend,
    BadRequest,
    ContentRefused,
    Reply,
    RequestFailed,
    TransientFailure,
)
from condition_miner.model.dialect import Dialect, OutputMode, less_strict, wants_json
from condition_miner.model.reading import InvalidAnswer
from condition_miner.model.refusals import may_be_the_form, too_long
from condition_miner.model.resolving import connect
from condition_miner.settings import ServiceSettings
from prompt_bank.recording.store import now

Progress = Callable[[str, int, int], None]
"""Called with the stage, the number of answered questions and the number of all questions."""
Notice = Callable[[str], None]
"""Called with a message to the user."""


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
        before_sending: called before questions are sent; starts a server, for instance.
        later: a backend that answers from batches of requests, without a probe; None to send each request.
        budget: the token budget of this run.
        sent: the number of requests sent so far.
        mode_counts: the number of answers in JSON by output mode.
        lacking: the questions without which the bank is made.
    """

    cache: AnswerCache
    address: Address
    service: ServiceSettings
    offline: bool
    progress: Progress
    notice: Notice = lambda text: None
    retry_failed: bool = False
    dry_run: bool = False
    before_sending: Callable[[], None] = lambda: None
    later: Backend | None = None
    budget: Budget = field(init=False)
    sent: int = field(default=0, init=False)
    mode_counts: Counter[str] = field(default_factory=Counter, init=False)
    lacking: list[Missing] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.service.budget_tokens)
        self._dialects = Dialects(self.cache, self.address, self.notice)

    def answers(self, questions: list[CheckedQuestion], optional: bool = False) -> list[Answer | None]:
        """The answers, in the order of the questions. Each is cached as soon as it is valid.

        None stands for an answer that can't be had, if there are few of them (Batch.tolerable); they are told, and
        noted in `lacking`.

        Args:
            questions: what is asked.
            optional: whether any number of the answers may be missing.

        Raises:
            AnswersMissing: too many answers are missing. Those received are cached; another run asks for the rest only.
            MiningFailed: no request can succeed.
            KeyboardInterrupt: the user pressed Ctrl-C. The answers received are cached.
            DryRunStop: this is a dry run, and questions would be sent now.
            AnswersLater: the next batch brings answers.
        """
        if not questions:
            return []
        batch = Batch(questions)
        self._look_up_all(batch)
        self._skip_failed(batch)
        self.progress(batch.stage, len(batch.found), len(batch.questions))
        if batch.missing and self.dry_run:
            dialect = self._dialects.known(questions[0].question)
            raise DryRunStop(batch.stage, [dialect.wire_question(checked.question) for checked in batch.missing])
        if batch.missing and self.offline:
            raise MiningFailed(
                f"offline: the cache lacks {len(batch.missing)} of {len(batch.questions)} answers "
                f"of stage {batch.stage}; "
                "run again without --offline, or import the answers (fedmpt cache import FILE)"
            )
        if batch.missing:
            self.before_sending()
            asyncio.run(self._ask_all(batch))
        self._judge(batch, optional)
        self.mode_counts.update(batch.modes.values())
        return [batch.found.get(checked.question.cache_key) for checked in questions]

    def allows(self, probe: CheckedQuestion) -> bool:
        """Whether a probe is answered. What it says of the server is remembered like an answer; nobody is told.

        Raises:
            AnswersMissing: the server is overloaded, or is down.
            MiningFailed: no request can succeed.
            AnswersLater: the next batch brings the answer.
        """
        batch = Batch([probe])
        self._look_up_all(batch)
        self._skip_failed(batch)
        if batch.missing:
            self.before_sending()
            asyncio.run(self._ask_all(batch))
        if batch.budget_exceeded or batch.overloaded:
            raise batch.error(self._spent())
        return bool(batch.found)

    def cached(self, checked: CheckedQuestion) -> Answer | None:
        """The answer to a question if it is in the cache. Nothing is sent."""
        batch = Batch([checked])
        self._look_up(checked, batch)
        return batch.found.get(checked.question.cache_key)

    def leave_out(self, stage: str, reason: str) -> None:
        """Note that the bank is made without a whole stage."""
        self.lacking.append(Missing(stage, "", reason, passing=False, kept=True))
        self.notice(f"the bank is made without {stage}: {reason}")

    def provenance(self) -> dict[str, Any]:
        """The part of a bank's provenance about the answers: how many in each output mode, and which are missing."""
        found: dict[str, Any] = {"asked_by": dict(sorted(self.mode_counts.items()))}
        if self.lacking:
            found["missing"] = [{"stage": one.stage, "about": one.about, "reason": one.reason} for one in self.lacking]
        return found

    def _look_up_all(self, batch: Batch) -> None:
        damaged = len(self.cache.damaged)
        for checked in batch.questions:
            self._look_up(checked, batch)
        if len(self.cache.damaged) > damaged:
            count = len(self.cache.damaged) - damaged
            self.notice(f"{count} damaged rows of the answer cache count as missing (fedmpt cache verify lists them)")

    def _look_up(self, checked: CheckedQuestion, batch: Batch) -> None:
        """Take a cached answer of any form if it passes the current checks; else note that it is missing."""
        for question, mode in self._dialects.forms(checked.question):
            answer = self.cache.get(question)
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
        if self.retry_failed and not self.offline:
            return
        asked_again = []
        for checked in batch.missing:
            failure = self.cache.failure(checked.question)
            if failure is None:
                asked_again.append(checked)
            else:
                batch.fail(checked, failure.reason, passing=False, kept=True)
        batch.missing = asked_again

    async def _ask_all(self, batch: Batch) -> None:
        service, where = self.service, self.address.display
        async with self.later or connect(self.address, service) as backend:
            sender = Sender(backend, service, self.budget, where)
            try:
                if self.later is None:
                    await self._dialects.probed(sender, batch.missing[0].question)
                queue = list(reversed(batch.missing))
                async with interruptible(sender, self.notice) as workers:
                    for _ in range(min(service.concurrency, len(queue))):
                        workers.start(lambda: self._run_worker(sender, queue, batch))
            except BudgetExceeded:
                batch.budget_exceeded = True
            finally:
                self.sent += sender.sent
        if batch.later:
            raise AnswersLater(batch.stage, batch.later)

    async def _run_worker(self, sender: Sender, queue: list[CheckedQuestion], batch: Batch) -> None:
        """Answer questions from the queue until it is empty."""
        while queue and not sender.stopping:
            checked = queue.pop()
            try:
                wired, answer, mode = await self._valid_answer(sender, checked)
            except BudgetExceeded:
                batch.budget_exceeded = True
                queue.clear()
                return
            except Stopped:
                return
            except AnswerLater:
                batch.later += 1
                continue
            except RequestFailed as error:
                self._note_failure(checked, error, batch)
                continue
            self.cache.put(wired, answer)
            self.cache.forget_failure(checked.question)
            batch.keep(checked, answer, mode)
            self.progress(batch.stage, len(batch.found), len(batch.questions))

    def _note_failure(self, checked: CheckedQuestion, error: RequestFailed, batch: Batch) -> None:
        """Note a failure, and remember it if it is the model's answer to this question and not the server's state."""
        of_the_model = isinstance(error, NoValidAnswer | ContentRefused) or (
            isinstance(error, BadRequest) and not wants_json(checked.question.body) and "logprob" in error.named
        )
        if of_the_model:
            requests = error.requests if isinstance(error, NoValidAnswer) else 0
            self.cache.put_failure(checked.question, str(error), requests, now())
        batch.overloaded |= isinstance(error, TransientFailure) and error.overloaded
        batch.fail(checked, str(error), isinstance(error, TransientFailure), of_the_model)

    async def _valid_answer(self, sender: Sender, checked: CheckedQuestion) -> tuple[Question, Answer, OutputMode]:
        """The question as it was asked, a valid answer, and the output mode.

        Falls back to a less strict output mode, and leaves out parameters, where the server refuses the request.
        """
        question, attempts, json_wanted = checked.question, self.service.attempts, wants_json(checked.question.body)
        failure = self.cache.failure(question)
        earlier = failure.requests if failure else 0
        mode, why = self._dialects.mode_of(question), ""
        while True:
            dialect = self._dialects.known(question)
            strict = mode is OutputMode.SCHEMA
            try:
                send = partial(self._send, sender, dialect, mode)
                answer = await valid_answer(send, checked, attempts, earlier, strict)
            except BadRequest as error:
                if not too_long(error) and self._dialects.adapted(question, dialect, error):
                    continue
                if mode is OutputMode.WORDS or too_long(error) or not json_wanted:
                    raise
                why = f"refuses {mode} ({error})"
            except SchemaIgnored as error:
                why = f"ignores {mode} ({error})"
            except TransientFailure as error:
                if mode is OutputMode.WORDS or not json_wanted or not may_be_the_form(error):
                    raise
                why = ""  # it may have failed over this question alone, so the stage stays as it is
            else:
                if why:
                    self._dialects.fall_back(question, mode, why)
                return self._dialects.wire_question(question, dialect, mode), answer, mode
            mode = less_strict(mode)

    @staticmethod
    async def _send(sender: Sender, dialect: Dialect, mode: OutputMode, body: dict[str, Any]) -> Reply:
        return await sender.send(dialect.wire_body(body, mode))

    def _spent(self) -> str:
        return f"the budget of {self.budget.limit} tokens is used up ({self.budget.spent} spent)"

    def _judge(self, batch: Batch, optional: bool) -> None:
        """Note what is missing.

        Raises:
            AnswersMissing: too much is.
        """
        if not batch.failures and not batch.budget_exceeded:
            return
        if batch.budget_exceeded or not (optional or batch.tolerable(self.service)):
            raise batch.error(self._spent())
        self.lacking += batch.failures
        again = "--retry-failed asks them again" if all(f.kept for f in batch.failures) else "another run asks again"
        self.notice(f"{batch.summary()}. The bank is made without them; {again}")
