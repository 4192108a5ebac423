"""Stage attribute: assigns each kind of factor to a condition.

Kinds that share a concept with a condition's name are assigned in code. The model assigns the others, a batch at a
time, and twice: the second time with the conditions in reverse order, since small models prefer what comes first. Kinds
assigned differently the two times belong to no condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from condition_miner.model.reading import InvalidAnswer, parse_fitting
from condition_miner.stages.questions import Questions, QuestionSpec, batches
from condition_miner.stages.schemas import entries, object_schema
from condition_miner.stages.vocabulary import concepts
from prompt_bank.schema import Caption, Condition

NONE = "none"
EXAMPLES = 3
"""The most example words shown with a kind."""


def attribute(questions: Questions, captions: Sequence[Caption], conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions with the kinds of factors assigned to them; a kind whose question has no answer belongs to none.

    Raises:
        MiningFailed: too many answers are missing.
    """
    examples = _example_words(captions)
    home = {kind: found for kind in examples if (found := condition_by_name(kind, conditions)) is not None}
    open_kinds = [kind for kind in examples if kind not in home]
    there = _assign(questions, open_kinds, examples, conditions)
    back = _assign(questions, open_kinds, examples, conditions[::-1])
    home |= {kind: there[kind] for kind in there if there[kind] == back.get(kind, NONE) != NONE}
    return [
        c.model_copy(update={"kinds": tuple(kind for kind in examples if home.get(kind) == c.id)}) for c in conditions
    ]


def condition_by_name(kind: str, conditions: Sequence[Condition]) -> str | None:
    """The id of the only condition whose name shares a concept with the kind; None if there are none or several."""
    meant = concepts(kind)
    found = [c.id for c in conditions if concepts(c.text) & meant]
    return found[0] if len(found) == 1 else None


def parse_attribution(text: str, numbers: list[str], ids: list[str]) -> list[str]:
    """An answer: for each number the id of a condition, or "none".

    Raises:
        InvalidAnswer: it has other numbers, or an unknown id.
    """

    def fit(answer: Any) -> list[str]:
        found = entries(answer, numbers)
        if any(value not in (*ids, NONE) for value in found):
            raise InvalidAnswer(f"each value must be one of {', '.join((*ids, NONE))}")
        return found

    return parse_fitting(text, fit)


def answer_schema(numbers: list[str], ids: list[str]) -> dict[str, Any]:
    """The JSON schema of answers."""
    return object_schema({number: {"type": "string", "enum": [*ids, NONE]} for number in numbers})


def _example_words(captions: Sequence[Caption]) -> dict[str, list[str]]:
    """For each kind some words of the descriptions, as examples."""
    found: dict[str, list[str]] = {}
    for caption in captions:
        for factor in caption.factors:
            words = found.setdefault(factor.kind, [])
            if len(words) < EXAMPLES and factor.words not in words:
                words.append(factor.words)
    return found


def _assign(
    questions: Questions, kinds: Sequence[str], examples: dict[str, list[str]], conditions: Sequence[Condition]
) -> dict[str, str]:
    """For each kind the condition that the model assigns, with the conditions listed in this order."""
    ids = [condition.id for condition in conditions]
    told = [{"id": c.id, "name": c.text, "definition": c.definition} for c in conditions]
    asked = batches(kinds, 2 * questions.settings.batch)
    specs = []
    for block in asked:
        factors = {str(i): {"kind": kind, "words": examples[kind]} for i, kind in enumerate(block, start=1)}
        numbers = list(factors)
        read = partial(parse_attribution, numbers=numbers, ids=ids)
        variables = {"conditions": told, "factors": factors}
        specs.append(QuestionSpec(variables, answer_schema(numbers, ids), read, about=", ".join(block)))
    answers = questions.answers("attribute", specs)
    return {
        kind: found
        for block, answer in zip(asked, answers, strict=True)
        if answer
        for kind, found in zip(block, answer, strict=True)
    }
