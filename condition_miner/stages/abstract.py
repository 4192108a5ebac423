"""Stage abstract: a few conditions that do not overlap, induced from many explanations.

Map: each request shows a sample of the explanations and asks for all conditions. Reduce: the answers vote, in code,
since a small model merges lists badly. A name that would be elected but is empty of meaning ("context") or names an
object is sent back to the model with the reason (message refine).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field

from condition_miner.errors import MiningFailed
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.questions import Questions, QuestionSpec
from condition_miner.stages.schemas import AnswerModel, Phrase, array_schema, object_schema, parse_answer, text_schema
from condition_miner.stages.vocabulary import Vocabulary, spell_out
from condition_miner.stages.voting import ElectedCondition, Proposal, UnusableName, elect, unusable_names
from fedmpt.common.words import fold
from prompt_bank.schema import Caption

T = TypeVar("T")

MAX_REFINEMENTS = 2
"""The most times that an unusable name is sent back."""


class NamedCondition(AnswerModel):
    """A condition in an answer to message abstract; the whole answer to message refine."""

    name: Annotated[Phrase, Field(max_length=60)]
    definition: Annotated[Phrase, Field(max_length=600)]


class AbstractAnswer(AnswerModel):
    """An answer to message abstract."""

    conditions: tuple[NamedCondition, ...]


def abstract(questions: Questions, captions: Sequence[Caption], vocabulary: Vocabulary) -> list[ElectedCondition]:
    """The elected conditions, at most as many as wanted, those with most votes first.

    Raises:
        MiningFailed: answers are missing, or contain no usable condition.
    """
    s = questions.settings
    wanted = s.proposals()
    explanations = [{"description": c.text, "factors": [f.kind for f in c.factors]} for c in captions if c.factors]
    if not explanations:
        raise MiningFailed("no description was explained by a usable factor; try another --model")
    shown = draw_samples(explanations, s.sample, s.abstractions, questions.draw_seed("abstract"))
    specs = [
        QuestionSpec({"explanations": some, "count": wanted}, abstract_schema(wanted), parse_proposals, number)
        for number, some in enumerate(shown)
    ]
    answers: list[list[Proposal]] = questions.answers("abstract", specs)
    for attempt in range(MAX_REFINEMENTS):
        back = names_to_refine(answers, vocabulary, wanted)
        if not back:
            break
        answers = _refined(answers, back, questions, attempt)
    elected = elect(answers, vocabulary)[:wanted]
    if not elected:
        raise MiningFailed("the model named no usable condition; try another --model or --seed")
    return elected


def draw_samples(explanations: Sequence[T], size: int, least: int, seed: str) -> list[list[T]]:
    """Random samples of nearly equal sizes, which together contain every explanation.

    Args:
        explanations: at least one.
        size: the most explanations in a sample.
        least: the least number of samples.
        seed: seed of the shuffles.
    """
    cut = -(-len(explanations) // size)
    found: list[list[T]] = []
    while len(found) < max(least, cut):
        shuffled = random.Random(f"{seed}/{len(found)}").sample(explanations, len(explanations))
        found += [shuffled[i::cut] for i in range(cut)]
    return found[: max(least, cut)]


def names_to_refine(answers: Sequence[Sequence[Proposal]], vocabulary: Vocabulary, wanted: int) -> list[UnusableName]:
    """The unusable names with enough votes to be elected, at most `wanted`."""
    elected = elect(answers, vocabulary)
    least = elected[wanted - 1].votes if len(elected) >= wanted else 0
    return [bad for bad in unusable_names(answers, vocabulary) if bad.votes > least][:wanted]


def parse_proposals(text: str) -> list[Proposal]:
    """The proposals in an answer to message abstract.

    Raises:
        InvalidAnswer: it has another form, or no condition.
    """
    conditions = parse_answer(AbstractAnswer, text).conditions
    if not conditions:
        raise InvalidAnswer("there is no condition in the answer")
    return [Proposal(spell_out(c.name), c.definition) for c in conditions]


def parse_refined(text: str) -> Proposal:
    """The proposal in an answer to message refine.

    Raises:
        InvalidAnswer: it has another form.
    """
    answer = parse_answer(NamedCondition, text)
    return Proposal(spell_out(answer.name), answer.definition)


def abstract_schema(count: int) -> dict[str, Any]:
    """The JSON schema of answers to message abstract."""
    return object_schema({"conditions": array_schema(refine_schema(), count, count)})


def refine_schema() -> dict[str, Any]:
    """The JSON schema of answers to message refine."""
    return object_schema({"name": text_schema(40), "definition": text_schema(160)})


def _refined(
    answers: Sequence[Sequence[Proposal]], back: Sequence[UnusableName], questions: Questions, attempt: int
) -> list[list[Proposal]]:
    """The answers, with the unusable names replaced by the model's new names."""
    specs = [
        QuestionSpec(
            {"name": bad.proposal.name, "definition": bad.proposal.definition, "reason": bad.reason},
            refine_schema(),
            parse_refined,
            attempt,
        )
        for bad in back
    ]
    instead = dict(zip((fold(bad.proposal.name) for bad in back), questions.answers("refine", specs), strict=True))
    return [[instead.get(fold(p.name), p) for p in answer] for answer in answers]
