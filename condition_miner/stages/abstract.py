"""abstract: from many explanations down to a few conditions that don't overlap.

Map: every explanation is shown in some request, each of which induces all conditions. Reduce: votes, in code, since a
small model merges lists badly. A name that says nothing ("context") or names an object goes back to the model with the
reason, if it would have been elected.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from condition_miner.errors import MiningFailed
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.forms import Answered, Phrase, array_schema, object_schema, text_schema, validated
from condition_miner.stages.questions import Item, Questions
from condition_miner.stages.vocabulary import Vocabulary, in_words
from condition_miner.stages.voting import Elected, Proposal, Unusable, elect, unusable
from fedmpt.common.words import fold
from prompt_bank.schema import Caption

T = TypeVar("T")

ROUNDS = 2
"""How often an unusable name is sent back at the most."""


class Named(Answered):
    """A condition in an answer; the whole answer of message refine."""

    name: Annotated[Phrase, Field(max_length=60)]
    definition: Annotated[Phrase, Field(max_length=600)]


class Abstracted(Answered):
    """An answer of message abstract."""

    conditions: tuple[Named, ...]


def abstract(ask: Questions, captions: Sequence[Caption], vocabulary: Vocabulary) -> list[Elected]:
    """The conditions, those of most votes first; no more than are wanted.

    Raises:
        MiningFailed: answers could not be had, or no condition came out of them.
    """
    s = ask.settings
    wanted = s.proposals()
    explanations = [{"description": c.text, "factors": [f.kind for f in c.factors]} for c in captions if c.factors]
    if not explanations:
        raise MiningFailed("no description was explained by a usable factor; try another --model")
    seed = f"{s.seed}/{ask.takes.get('abstract', 0)}"
    shown = samples(explanations, s.sample, s.abstractions, seed)
    items = [
        Item({"explanations": some, "count": wanted}, schema(wanted), abstracted, number)
        for number, some in enumerate(shown)
    ]
    answers: list[list[Proposal]] = ask.answers("abstract", items)
    for attempt in range(ROUNDS):
        back = sent_back(answers, vocabulary, wanted)
        if not back:
            break
        answers = _renamed(answers, back, ask, attempt)
    elected = elect(answers, vocabulary)[:wanted]
    if not elected:
        raise MiningFailed("the model named no usable condition; try another --model or --seed")
    return elected


def samples(explanations: Sequence[T], size: int, least: int, seed: str) -> list[list[T]]:
    """Samples of even sizes, `size` at the most, which together hold every explanation.

    Args:
        explanations: at least one.
        size: explanations of a sample at the most.
        least: samples at the least.
        seed: shuffles them.
    """
    cut = -(-len(explanations) // size)
    found: list[list[T]] = []
    while len(found) < max(least, cut):
        shuffled = random.Random(f"{seed}/{len(found)}").sample(explanations, len(explanations))
        found += [shuffled[i::cut] for i in range(cut)]
    return found[: max(least, cut)]


def sent_back(answers: Sequence[Sequence[Proposal]], vocabulary: Vocabulary, wanted: int) -> list[Unusable]:
    """The unusable names that would have been elected, `wanted` at the most."""
    elected = elect(answers, vocabulary)
    least = elected[wanted - 1].votes if len(elected) >= wanted else 0
    return [bad for bad in unusable(answers, vocabulary) if bad.votes > least][:wanted]


def abstracted(text: str) -> list[Proposal]:
    """An answer of message abstract.

    Raises:
        InvalidAnswer: it is not, or it has no condition.
    """
    conditions = validated(Abstracted, text).conditions
    if not conditions:
        raise InvalidAnswer("there is no condition in the answer")
    return [Proposal(in_words(c.name), c.definition) for c in conditions]


def refined(text: str) -> Proposal:
    """An answer of message refine.

    Raises:
        InvalidAnswer: it is not.
    """
    answer = validated(Named, text)
    return Proposal(in_words(answer.name), answer.definition)


def schema(count: int) -> dict[str, Any]:
    """The JSON schema of an answer of message abstract."""
    return object_schema({"conditions": array_schema(refine_schema(), count, count)})


def refine_schema() -> dict[str, Any]:
    """The JSON schema of an answer of message refine."""
    return object_schema({"name": text_schema(40), "definition": text_schema(160)})


def _renamed(
    answers: Sequence[Sequence[Proposal]], back: Sequence[Unusable], ask: Questions, attempt: int
) -> list[list[Proposal]]:
    """The answers with what the model says instead of the names that were sent back."""
    items = [
        Item(
            {"name": bad.proposal.name, "definition": bad.proposal.definition, "reason": bad.reason},
            refine_schema(),
            refined,
            attempt,
        )
        for bad in back
    ]
    instead = dict(zip((fold(bad.proposal.name) for bad in back), ask.answers("refine", items), strict=True))
    return [[instead.get(fold(p.name), p) for p in answer] for answer in answers]
