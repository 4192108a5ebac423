"""What mining would send and cost, before anything is sent.

The first stage that lacks answers is known exactly. What the later ones ask depends on its answers, so their number is
worked out from the settings and their size from typical texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from condition_miner.asking.asker import NotAsked
from condition_miner.asking.budget import size, tokens_in
from condition_miner.messages.templates import Templates
from condition_miner.settings import MESSAGES_OF, STAGES, MinerSettings

DESCRIPTION = "On a rainy evening a traffic light glows red beside a parked bus and a waiting cyclist."
DEFINITION = "The place in which the objects are seen, indoors or outdoors, in a town or in the country."
WORDS, KIND = "rainy evening", "weather"
LABELS = ["traffic light", "bus", "bicycle"]
"""Typical texts."""
KINDS = 0.3
"""Different kinds of factors, as a share of all factors."""


@dataclass(frozen=True)
class Estimate:
    """What a stage would send.

    Attributes:
        stage: its name.
        requests: how many; a repetition after an invalid answer is one more.
        tokens_in, tokens_out: of all of them.
        exact: the requests are counted, not worked out.
    """

    stage: str
    requests: int
    tokens_in: int
    tokens_out: int
    exact: bool

    def price(self, into: float, out: float) -> float:
        """What it costs, at prices for a million tokens."""
        return (self.tokens_in * into + self.tokens_out * out) / 1e6


def estimates(
    first: NotAsked, settings: MinerSettings, stages: tuple[str, ...], labels: int, templates: Templates
) -> list[Estimate]:
    """The stages from the first that lacks answers on, in their order.

    Args:
        first: the questions that it lacks.
        settings: of the run.
        stages: that are carried out.
        labels: how many there are.
        templates: of the messages.
    """
    typical = _typical(settings, labels)
    requests = _requests(settings, labels)
    begun = next(stage for stage, messages in MESSAGES_OF.items() if first.stage in messages)
    into = sum(tokens_in(question.body) for question in first.questions)
    count = len(first.questions)
    found = [Estimate(first.stage, count, into, count * size(typical[begun][1]), exact=True)]
    for later in STAGES[STAGES.index(begun) + 1 :]:
        if later not in typical or later not in stages:
            continue
        variables, answer = typical[later]
        into = tokens_in({"messages": templates.messages(later, variables)})
        count = requests[later]
        found.append(Estimate(later, count, count * into, count * size(answer), exact=False))
    return found


def _requests(settings: MinerSettings, labels: int) -> dict[str, int]:
    """How many questions each stage asks, as the stages themselves divide them."""
    s = settings
    combinations = s.combinations_for(labels)
    captions = combinations * s.captions
    kinds = round(KINDS * captions * s.factors)
    return {
        "describe": combinations,
        "explain": _divided(captions, s.batch),
        "abstract": max(s.abstractions, _divided(captions, s.sample)),
        "attribute": 2 * _divided(kinds, 2 * s.batch),
    }


def _typical(settings: MinerSettings, labels: int) -> dict[str, tuple[dict[str, Any], Any]]:
    """For each stage the variables of a question, and an answer."""
    s = settings
    conditions = [{"id": KIND, "name": KIND, "definition": DEFINITION}] * s.proposals()
    descriptions = {str(i): DESCRIPTION for i in range(s.batch)}
    factors = {str(i): {"kind": KIND, "words": [WORDS] * 3} for i in range(2 * s.batch)}
    captions = s.combinations_for(labels) * s.captions
    explanations = [{"description": DESCRIPTION, "factors": [KIND] * s.factors}] * min(s.sample, captions)
    named = [{"words": WORDS, "factor": KIND}] * s.factors
    return {
        "describe": (
            {"labels": LABELS, "count": s.captions},
            {"occasions": [WORDS] * s.captions, "descriptions": [DESCRIPTION] * s.captions},
        ),
        "explain": (
            {"descriptions": descriptions, "count": s.factors},
            {number: {"factors": list(named)} for number in descriptions},
        ),
        "abstract": (
            {"explanations": explanations, "count": s.proposals()},
            {"conditions": [{"name": KIND, "definition": DEFINITION}] * s.proposals()},
        ),
        "attribute": ({"conditions": conditions, "factors": factors}, dict.fromkeys(factors, KIND)),
    }


def _divided(count: int, by: int) -> int:
    """Rounded up."""
    return -(-count // by)
