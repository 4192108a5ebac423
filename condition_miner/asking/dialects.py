"""The dialect of an endpoint during a run: from the cache, by a probe, and changed by what is refused later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import Question
from condition_miner.asking.sending import Sender
from condition_miner.errors import MiningFailed
from condition_miner.model.address import IN_PROCESS, Address
from condition_miner.model.backend import BadRequest, RequestFailed
from condition_miner.model.dialect import (
    STRICTEST_FIRST,
    Dialect,
    OutputMode,
    dialect_answer,
    dialect_from,
)
from condition_miner.model.probing import first_probe_question, probe, probe_question
from prompt_bank.recording.store import now


@dataclass
class Dialects:
    """Knows how to ask an endpoint.

    Attributes:
        cache: keeps the dialect.
        address: the endpoint.
        notice: called with messages to the user.
    """

    cache: AnswerCache
    address: Address
    notice: Callable[[str], None]
    _found: Dialect | None = field(default=None, init=False)
    _fallback: dict[str, OutputMode] = field(default_factory=dict, init=False)

    def known(self, question: Question) -> Dialect:
        """The dialect as far as it is known without a request."""
        if self.address.endpoint == IN_PROCESS:
            return Dialect(OutputMode.WORDS)
        if self._found is None:
            model = str(question.body["model"])
            for made in (probe_question, first_probe_question):
                answer = self.cache.get(made(question.endpoint, model))
                self._found = self._found or (dialect_from(answer) if answer else None)
        return self._found or Dialect()

    def forms(self, question: Question) -> Iterator[tuple[Question, OutputMode]]:
        """A question in every form in which it may have been asked, the most likely one first."""
        for dialect in self.known(question).earlier():
            for mode in (dialect.mode, *(other for other in STRICTEST_FIRST if other is not dialect.mode)):
                yield dialect.wire_question(question, mode), mode

    async def probed(self, sender: Sender, question: Question) -> None:
        """Probe the server if its dialect isn't known; the dialect is cached.

        Raises:
            MiningFailed: the server answers in no dialect.
        """
        self.known(question)
        if self._found is not None or self.address.endpoint == IN_PROCESS or "prompt" in question.body:
            return
        asked = probe_question(question.endpoint, str(question.body["model"]))
        try:
            self._found, answer = await probe(sender.send, asked, now())
        except RequestFailed as error:
            raise MiningFailed(f"{self.address.display}: the first question failed: {error}") from error
        self.cache.put(asked, answer)
        if self._found.mode is not OutputMode.SCHEMA:
            self.notice(f"this server does not obey JSON schemas; answers are asked for by {self._found.mode}")

    def adapted(self, question: Question, used: Dialect, refusal: BadRequest) -> bool:
        """Whether there is a dialect without what a refusal names; it is kept for this and later runs.

        Args:
            question: the question that was refused.
            used: the dialect in which it was asked.
            refusal: the refusal.
        """
        if self.address.endpoint == IN_PROCESS or "prompt" in question.body:
            return False
        if self.known(question) != used:  # another question has met the same refusal
            return True
        better = used.adapted(refusal.named)
        if better is None:
            return False
        self._found = better
        asked = probe_question(question.endpoint, str(question.body["model"]))
        self.cache.put(asked, dialect_answer(better, [str(refusal)], (0, 0), now()))
        self.notice(f"the server refuses '{better.changes[-1]}' ({refusal}); it is asked in another way from now on")
        return True

    def mode_of(self, question: Question) -> OutputMode:
        """The output mode of a question's stage."""
        return self._fallback.get(question.stage, self.known(question).mode)

    def fall_back(self, question: Question, mode: OutputMode, why: str) -> None:
        """Note that a stage is asked in a less strict mode, and what the server does to the stricter one."""
        if question.stage not in self._fallback:
            self.notice(f"stage {question.stage}: the server {why}; asked for by {mode} instead")
        self._fallback[question.stage] = mode

    def wire_question(self, question: Question, used: Dialect, mode: OutputMode) -> Question:
        """A question in the form in which it was answered."""
        return replace(used, mode=mode).wire_question(question)
