"""Estimates of the requests, tokens and cost of mining (--dry-run). Nothing is sent.

The requests of the first stage with missing answers are known exactly. Those of later stages depend on its answers, so
their number is computed from the settings and their size from typical texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from condition_miner.asking.budget import estimate_json_tokens, estimate_prompt_tokens
from condition_miner.asking.stops import DryRunStop
from condition_miner.messages.templates import PromptTemplates
from condition_miner.settings import MESSAGES_BY_STAGE, STAGES, MinerSettings
from condition_miner.stages.affinity.recipe import SOUGHT, fronts, sentence

DESCRIPTION = "On a rainy evening a traffic light glows red beside a parked bus and a waiting cyclist."
DEFINITION = "The place in which the objects are seen, indoors or outdoors, in a town or in the country."
WORDS, KIND = "rainy evening", "weather"
LABELS = ["traffic light", "bus", "bicycle"]
"""Typical texts of each kind."""
DISTINCT_KINDS = 0.3
"""Distinct kinds of factors, as a share of all factors."""


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a stage.

    Attributes:
        stage: the name of the stage.
        requests: the number of requests if every answer is valid at once.
        tokens_in, tokens_out: input and output tokens of all these requests.
        exact: whether `requests` is a count; otherwise it is an estimate.
    """

    stage: str
    requests: int
    tokens_in: int
    tokens_out: int
    exact: bool


def estimate_stages(
    first: DryRunStop,
    settings: MinerSettings,
    stages: tuple[str, ...],
    labels: int,
    templates: PromptTemplates,
    in_process: bool = False,
) -> list[Estimate]:
    """Estimates for the first stage with missing answers and all later stages, in order.

    Args:
        first: the questions of that first stage.
        settings: the settings of the run.
        stages: the stages that the run would carry out.
        labels: the number of labels.
        templates: the prompt templates.
        in_process: whether the model runs in this process, which answers many prompts in a request.
    """
    typical = _typical(settings, labels)
    requests = _requests(settings, labels)
    begun = next(stage for stage, messages in MESSAGES_BY_STAGE.items() if first.stage in messages)
    into = sum(estimate_prompt_tokens(question.body) for question in first.questions)
    count = len(first.questions)
    answered = estimate_json_tokens(typical[begun][1]) if begun in typical else 1
    found = [Estimate(first.stage, count, into, count * answered, exact=True)]
    if first.stage == "next-token":
        found.append(_open_sentences("spelling", settings, labels, in_process))
    for later in STAGES[STAGES.index(begun) + 1 :]:
        if later not in typical or later not in stages:
            continue
        variables, answer = typical[later]
        into = estimate_prompt_tokens({"messages": templates.messages(later, variables, settings.about)})
        count = requests[later]
        found.append(Estimate(later, count, count * into, count * estimate_json_tokens(answer), exact=False))
    if "affinities" in stages and begun != "affinities":
        found.append(_open_sentences("affinities", settings, labels, in_process))
    return found


def _open_sentences(name: str, settings: MinerSettings, labels: int, in_process: bool) -> Estimate:
    """Stage affinities where the endpoint gives log-probabilities of next tokens, or its message spelling alone.

    Lists and questions of yes or no, which other endpoints are asked, are more requests.
    """
    sentences = [wording for sought in SOUGHT for wording in sought.sentences]
    front = fronts(LABELS * settings.affinity_shown, settings.about, 1, settings.affinity_shown, "")[0]
    prompts = [f"{front} {sentence(wording, LABELS[0])}" for wording in sentences]
    each = estimate_prompt_tokens({"prompt": prompts}) / len(prompts)
    read = settings.affinity_draws * len(sentences) * labels if name == "affinities" else 0
    spelled = settings.affinity_values * len(SOUGHT)
    grouped = settings.affinity_draws * len(sentences) * (name == "affinities") + 2  # spelling and control
    requests = grouped if in_process else read + spelled
    return Estimate(name, requests, round((read + spelled) * each), read + spelled, exact=False)


def _requests(settings: MinerSettings, labels: int) -> dict[str, int]:
    """The number of requests of each stage, batched as the stages batch them."""
    s = settings
    combinations = s.combinations_for(labels)
    captions = combinations * s.captions
    kinds = round(DISTINCT_KINDS * captions * s.factors)
    return {
        "describe": combinations,
        "explain": _ceil_div(captions, s.batch),
        "abstract": max(s.abstractions, _ceil_div(captions, s.sample)),
        "attribute": 2 * _ceil_div(kinds, 2 * s.batch),
    }


def _typical(settings: MinerSettings, labels: int) -> dict[str, tuple[dict[str, Any], Any]]:
    """For each stage the template variables of a typical question, and a typical answer."""
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


def _ceil_div(count: int, by: int) -> int:
    """The quotient, rounded up."""
    return -(-count // by)
