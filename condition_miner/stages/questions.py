"""How every stage asks: templates rendered, answers checked, what was used noted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from condition_miner.answers.cache import Answer, Question
from condition_miner.asking.asker import Ask, Asker
from condition_miner.messages.templates import Templates
from condition_miner.settings import MESSAGES_OF, MinerSettings

TAKE = 1_000_000
"""How far the seeds and sample numbers of two takes of a stage are apart."""

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One question of a message.

    Attributes:
        variables: for the templates.
        schema: JSON schema of the answer.
        read: the checked answer; raises InvalidAnswer.
        sample: tells apart questions that are asked several times; changes the seed, too.
    """

    variables: dict[str, Any]
    schema: dict[str, Any]
    read: Callable[[str], Any]
    sample: int = 0


@dataclass
class Questions:
    """Asks the stages' questions.

    Attributes:
        model: asked for every answer.
        settings: seed, temperatures, room.
        templates: of the messages.
        asker: gets the answers.
        takes: how often a stage was asked anew (`--from-stage`); 0 where it is not named.
        sending: the stages that may send; the others take their answers from the cache alone. None for all.
        used: every answer that came in, for the provenance.
    """

    model: str
    settings: MinerSettings
    templates: Templates
    asker: Asker
    takes: dict[str, int] = field(default_factory=dict)
    sending: frozenset[str] | None = None
    used: list[Answer] = field(default_factory=list)

    def answers(self, message: str, items: Sequence[Item]) -> list[Any]:
        """What the model answered, read by each item, in order.

        Raises:
            MiningFailed: some answers could not be had.
        """
        stage = next(stage for stage, messages in MESSAGES_OF.items() if message in messages)
        offline = self.asker.offline
        self.asker.offline = offline or (self.sending is not None and stage not in self.sending)
        try:
            found = self.asker.answers([self._ask(stage, message, item) for item in items])
        finally:
            self.asker.offline = offline
        self.used += found
        return [item.read(answer.text) for item, answer in zip(items, found, strict=True)]

    def _ask(self, stage: str, message: str, item: Item) -> Ask:
        sample = item.sample + TAKE * self.takes.get(stage, 0)
        body = {
            "model": self.model,
            "messages": self.templates.messages(message, item.variables),
            "temperature": self.settings.temperature(stage),
            "seed": self.settings.seed + sample,
            "max_tokens": self.settings.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": message, "strict": True, "schema": item.schema},
            },
        }
        question = Question(message, self.asker.address.endpoint, body, self.templates.hash(message), sample)
        return Ask(question, item.read)


def blocks(items: Sequence[T], size: int) -> list[list[T]]:
    """The items in their order, some at a time."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]
