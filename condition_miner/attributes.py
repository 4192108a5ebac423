"""From labels to a bank with the visual attributes of each label."""

from __future__ import annotations

from condition_miner.added import added_provenance, with_labels
from condition_miner.asking.budget import estimate_json_tokens, estimate_prompt_tokens
from condition_miner.asking.stops import DryRunStop
from condition_miner.estimate import Estimate
from condition_miner.settings import ATTRIBUTE_SETTINGS, AttributeSettings
from condition_miner.stages.appearance import appearance
from condition_miner.stages.questions import Questions
from fedmpt.common.words import fold
from prompt_bank.editing.labels import update_attributes
from prompt_bank.schema import ATTRIBUTES, Bank, Label

ATTRIBUTE = "long curved handle"
"""A typical attribute."""


def mine_attributes(
    questions: Questions, settings: AttributeSettings, labels: tuple[Label, ...], name: str, existing: Bank | None
) -> Bank:
    """The existing bank, or a new one, with mined attributes of the labels.

    Args:
        questions: asks.
        settings: of the questions.
        labels: whose attributes are asked for.
        name: of a new bank.
        existing: the bank to which they are added; None for a new one.

    Raises:
        MiningFailed: too many answers are missing.
    """
    bank = with_labels(existing, Bank(name=name, about=settings.about, labels=labels))
    told = appearance(questions, labels, settings.attributes)
    names = {fold(label.name): label.name for label in bank.labels}
    own = settings.model_dump(include=set(ATTRIBUTE_SETTINGS))
    own["templates"] = questions.templates.hash("appearance", settings.about)
    return bank.model_copy(
        update={
            "labels": update_attributes(bank.labels, told, lambda label: names.get(fold(label))),
            "provenance": added_provenance(questions, existing, ATTRIBUTES, own),
        }
    )


def estimate_attributes(stop: DryRunStop, settings: AttributeSettings) -> list[Estimate]:
    """The requests and tokens of the questions without an answer."""
    asked = len(stop.questions)
    into = sum(estimate_prompt_tokens(question.body) for question in stop.questions)
    answered = estimate_json_tokens({"attributes": [ATTRIBUTE] * settings.attributes})
    return [Estimate(stop.stage, asked, into, asked * answered, exact=True)]
