"""From labels to a bank: describe → abstract → attribute.

describe   for each label combination, several photographs, reasoning first
abstract   conditions induced from samples of the descriptions, several times; voted in code (voting.py)
attribute  for each description, which conditions it states: support, evidence and dependencies are counted from that
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import combinations as pairs_of
from itertools import groupby
from typing import Any

from condition_miner import answers
from condition_miner.asking import Ask, Asker
from condition_miner.cache import Answer, Question
from condition_miner.combinations import choose_combinations
from condition_miner.cooccurrence import Cooccurrence, recorded
from condition_miner.errors import MiningFailed
from condition_miner.settings import MinerSettings
from condition_miner.templates import MESSAGES, Templates
from condition_miner.voting import Elected, elect, identifier
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label, Provenance, Tokens
from prompt_bank.store import now

EVIDENCE = 8
"""Captions that are named as evidence at the most."""


@dataclass
class Miner:
    """Mines one bank.

    Attributes:
        labels: what the images may show.
        name: the bank's.
        model: asked for every answer.
        settings: which questions are asked.
        templates: their messages.
        asker: gets the answers.
        observed: how often the labels occur together in somebody's images; chooses the combinations.
    """

    labels: tuple[Label, ...]
    name: str
    model: str
    settings: MinerSettings
    templates: Templates
    asker: Asker
    observed: Cooccurrence | None = None

    def mine(self) -> Bank:
        """Ask everything and put the bank together.

        Raises:
            MiningFailed: answers could not be had, or no condition came out of them.
        """
        used: list[Answer] = []
        captions = self._describe(used)
        elected = self._abstract(captions, used)
        conditions: list[Condition] = []
        for e in elected:
            taken = {c.id for c in conditions}
            conditions.append(
                Condition(id=identifier(e.text, taken), text=e.text, definition=e.definition, values=e.values)
            )
        stated = self._attribute(captions, conditions, used)
        return Bank(
            name=self.name,
            labels=self.labels,
            conditions=tuple(_measured(condition, captions, stated) for condition in conditions),
            dependencies=tuple(_dependencies(captions, conditions, stated)),
            captions=tuple(captions),
            provenance=self._provenance(used),
        )

    def _describe(self, used: list[Answer]) -> list[Caption]:
        s = self.settings
        names = tuple(label.name for label in self.labels)
        chosen = choose_combinations(names, s.combinations, s.largest, s.seed, self.observed)
        schema = answers.describe_schema(s.captions)
        check = partial(answers.described, captions=s.captions, ascii_only=all(name.isascii() for name in names))
        asks = [
            self._ask("describe", {"labels": list(c), "count": s.captions}, schema, s.describe_temperature, check)
            for c in chosen
        ]
        captions: list[Caption] = []
        for combination, answer in zip(chosen, self._answers(asks, used), strict=True):
            for text in check(answer.text).descriptions:
                captions.append(Caption(id=f"cap-{len(captions) + 1:04d}", labels=combination, text=text))
        return captions

    def _abstract(self, captions: list[Caption], used: list[Answer]) -> list[Elected]:
        s = self.settings
        schema = answers.abstract_schema(s.conditions)
        asks = []
        for sample in range(s.abstractions):
            rng = random.Random(f"{s.seed}/abstract/{sample}")
            shown = [c.text for c in rng.sample(captions, min(s.sample, len(captions)))]
            variables = {"descriptions": shown, "count": s.conditions}
            asks.append(
                self._ask("abstract", variables, schema, s.abstract_temperature, answers.abstracted, sample=sample)
            )
        proposals = [answers.abstracted(answer.text).conditions for answer in self._answers(asks, used)]
        elected = elect(proposals, [label.name for label in self.labels], s.conditions)
        if not elected:
            raise MiningFailed("the model named no usable condition; try another --model or --seed")
        return elected

    def _attribute(
        self, captions: list[Caption], conditions: list[Condition], used: list[Answer]
    ) -> dict[str, tuple[str, ...]]:
        """For each caption's id the ids of the conditions that it states."""
        ids = [condition.id for condition in conditions]
        told = [{"id": c.id, "name": c.text, "definition": c.definition} for c in conditions]
        blocks = [list(block) for _, block in groupby(captions, key=lambda caption: caption.labels)]
        asks, numbers = [], []
        for block in blocks:
            numbered = {str(i + 1): caption.text for i, caption in enumerate(block)}
            check = partial(answers.attributed, numbers=list(numbered), ids=ids)
            schema = answers.attribute_schema(list(numbered), ids)
            variables = {"conditions": told, "descriptions": numbered}
            asks.append(self._ask("attribute", variables, schema, self.settings.attribute_temperature, check))
            numbers.append(check)
        stated: dict[str, tuple[str, ...]] = {}
        for block, check, answer in zip(blocks, numbers, self._answers(asks, used), strict=True):
            for caption, found in zip(block, check(answer.text).values(), strict=True):
                stated[caption.id] = found
        return stated

    def _ask(
        self,
        stage: str,
        variables: dict[str, Any],
        schema: dict[str, Any],
        temperature: float,
        check: Any,
        sample: int = 0,
    ) -> Ask:
        body = {
            "model": self.model,
            "messages": self.templates.messages(stage, variables),
            "temperature": temperature,
            "seed": self.settings.seed + sample,
            "max_tokens": self.settings.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": stage, "strict": True, "schema": schema},
            },
        }
        question = Question(stage, self.asker.address.endpoint, body, self.templates.hash(stage), sample)
        return Ask(question, check)

    def _answers(self, asks: list[Ask], used: list[Answer]) -> list[Answer]:
        found = self.asker.answers(asks)
        used += found
        return found

    def _provenance(self, used: list[Answer]) -> Provenance:
        return Provenance(
            model=self.model,
            endpoint=self.asker.address.endpoint,
            templates={message: self.templates.hash(message) for message in MESSAGES},
            parameters=self.settings.model_dump(exclude={"seed"}) | recorded(self.observed) | self.asker.recorded(),
            requests=sum(answer.requests for answer in used),
            tokens=Tokens(into=sum(a.tokens_in for a in used), out=sum(a.tokens_out for a in used)),
            seed=self.settings.seed,
            tool=f"fedmpt {version('fedmpt')}",
            created=max((answer.at for answer in used), default=now()),
        )


def _measured(condition: Condition, captions: list[Caption], stated: dict[str, tuple[str, ...]]) -> Condition:
    """The condition with its support, the share of captions that state it, and captions as evidence."""
    evidence = [caption.id for caption in captions if condition.id in stated[caption.id]]
    share = round(len(evidence) / len(captions), 4)
    return condition.model_copy(update={"support": share, "evidence": tuple(evidence[:EVIDENCE])})


def _dependencies(
    captions: list[Caption], conditions: list[Condition], stated: dict[str, tuple[str, ...]]
) -> list[Dependency]:
    """For each described pair of labels the conditions that most of its captions state."""
    of_pair: dict[tuple[str, str], list[Caption]] = {}
    for caption in captions:
        for pair in pairs_of(caption.labels, 2):
            of_pair.setdefault(pair, []).append(caption)
    found = []
    for pair, about in of_pair.items():
        counted = Counter(i for caption in about for i in stated[caption.id])
        governing = [c.id for c in conditions if 2 * counted[c.id] > len(about)]
        if not governing:
            continue
        evidence = [caption.id for caption in about if set(governing) & set(stated[caption.id])]
        counts = ", ".join(f"{i} in {counted[i]} of {len(about)} captions" for i in governing)
        found.append(
            Dependency(
                labels=pair,
                conditions=tuple(governing),
                because=f"stated: {counts}",
                evidence=tuple(evidence[:EVIDENCE]),
            )
        )
    return found
