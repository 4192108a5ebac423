"""The distinct questions of one call, and what has become of them."""

from __future__ import annotations

from condition_miner.answers.records import Answer
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.model.dialect import OutputMode, wants_json


class Batch:
    """The distinct questions of one call, and their state.

    Attributes:
        questions: each once.
        stage: of the first one.
        found: answers by cache key.
        modes: the output modes of answers in JSON, by cache key.
        missing: questions without an answer in the cache.
        failures: why questions have no answer.
        passing: of these failures, how many may pass.
        skipped: why questions have no answer that failed in an earlier run.
        budget_exceeded: whether the token budget ended the run.
    """

    def __init__(self, questions: list[CheckedQuestion]) -> None:
        self.questions = list({checked.question.cache_key: checked for checked in questions}.values())
        self.stage = questions[0].question.stage
        self.found: dict[str, Answer] = {}
        self.modes: dict[str, str] = {}
        self.missing: list[CheckedQuestion] = []
        self.failures: list[str] = []
        self.passing = 0
        self.skipped: list[str] = []
        self.budget_exceeded = False

    def keep(self, checked: CheckedQuestion, answer: Answer, mode: OutputMode) -> None:
        """Note the answer to a question."""
        key = checked.question.cache_key
        self.found[key] = answer
        if wants_json(checked.question.body):
            self.modes[key] = str(mode)
