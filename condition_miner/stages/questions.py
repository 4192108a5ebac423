"""How stages ask: render templates, build requests, parse answers, and record the answers used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from condition_miner.answers.cache import Answer, Question
from condition_miner.asking.asker import Asker, CheckedQuestion
from condition_miner.messages.templates import PromptTemplates
from condition_miner.model.next_tokens import NextTokens, next_token_body
from condition_miner.settings import MESSAGES_BY_STAGE, MinerSettings

TAKE_STRIDE = 1_000_000
"""The distance between the seeds and sample numbers of two takes of a stage."""

T = TypeVar("T")


@dataclass(frozen=True)
class QuestionSpec:
    """A question of a message, before its templates are rendered.

    Attributes:
        variables: the template variables.
        schema: JSON schema of the answer.
        read: parses a raw answer; raises InvalidAnswer.
        sample: number that distinguishes repetitions of the same question; it is added to the seed.
    """

    variables: dict[str, Any]
    schema: dict[str, Any]
    read: Callable[[str], Any]
    sample: int = 0


@dataclass
class Questions:
    """Asks the stages' questions.

    Attributes:
        model: the name of the language model.
        settings: seed, temperatures and token limit.
        templates: the prompt templates.
        asker: answers questions from the cache or the model.
        takes: for each stage how many times it was asked again with --from-stage; 0 if missing.
        sending: the stages that may send requests, others read the cache only; None for all.
        used: all answers so far, for the provenance.
    """

    model: str
    settings: MinerSettings
    templates: PromptTemplates
    asker: Asker
    takes: dict[str, int] = field(default_factory=dict)
    sending: frozenset[str] | None = None
    used: list[Answer] = field(default_factory=list)

    def answers(self, message: str, specs: Sequence[QuestionSpec]) -> list[Any]:
        """The parsed answers to a message's questions, in order.

        Raises:
            MiningFailed: answers are missing.
        """
        stage = stage_of(message)
        found = self.raw_answers(message, [self._checked_question(stage, message, spec) for spec in specs])
        return [spec.read(answer.text) for spec, answer in zip(specs, found, strict=True)]

    def next_tokens(self, message: str, prompts: Sequence[Sequence[str]], top: int) -> list[str]:
        """For each group of prompts, which is one request, the answer's text, which NextTokens.parse reads.

        Args:
            message: "next-token" or "spelling".
            prompts: groups of one prompt or, for a model in this process, several.
            top: the most likely tokens that are asked for.

        Raises:
            MiningFailed: answers are missing.
        """
        endpoint = self.asker.address.endpoint
        asked = [
            CheckedQuestion(
                Question(message, endpoint, next_token_body(self.model, group, top), ""),
                partial(NextTokens.parse, prompts=len(group)),
            )
            for group in prompts
        ]
        return [answer.text for answer in self.raw_answers(message, asked)]

    def raw_answers(self, message: str, asked: list[CheckedQuestion]) -> list[Answer]:
        """The answers to questions of a message, in order.

        Raises:
            MiningFailed: answers are missing.
        """
        with self.sending_only(stage_of(message)):
            found = self.asker.answers(asked)
        self.used += found
        return found

    def draw_seed(self, stage: str) -> str:
        """The seed of what a stage draws; another one where it is asked anew."""
        return f"{self.settings.seed}/{self.takes.get(stage, 0)}"

    @contextmanager
    def sending_only(self, stage: str) -> Iterator[None]:
        """Nothing is sent meanwhile, unless this stage may send."""
        offline = self.asker.offline
        self.asker.offline = offline or (self.sending is not None and stage not in self.sending)
        try:
            yield
        finally:
            self.asker.offline = offline

    def _checked_question(self, stage: str, message: str, spec: QuestionSpec) -> CheckedQuestion:
        sample = spec.sample + TAKE_STRIDE * self.takes.get(stage, 0)
        body = {
            "model": self.model,
            "messages": self.templates.messages(message, spec.variables, self.settings.about),
            "temperature": self.settings.temperature(stage),
            "seed": self.settings.seed + sample,
            "max_tokens": self.settings.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": message, "strict": True, "schema": spec.schema},
            },
        }
        template = self.templates.hash(message, self.settings.about)
        question = Question(message, self.asker.address.endpoint, body, template, sample)
        return CheckedQuestion(question, spec.read)


def stage_of(message: str) -> str:
    """The stage that sends a message."""
    return next(stage for stage, messages in MESSAGES_BY_STAGE.items() if message in messages)


def batches(items: Sequence[T], size: int) -> list[list[T]]:
    """The items in order, in lists of at most `size`."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]
