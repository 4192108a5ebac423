"""explain: which factors make the labels of each description occur together, with the words that show them.

The words come first and their kind second: asked for kinds alone, a small model names objects. Factors whose words do
not stand in the description are dropped, so that every explanation can be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from condition_miner.answers import Answered, Line, array_schema, numbered, object_schema, text_schema
from condition_miner.reading import InvalidAnswer
from condition_miner.stages.questions import Item, Questions, blocks
from condition_miner.voting import Vocabulary, stems
from prompt_bank.checks import fold
from prompt_bank.schema import Caption, Factor

KIND = 30
"""Characters of a kind that are asked for."""
WORDS = 60
"""Characters of the words that are asked for."""


class _Factor(Answered):
    words: Annotated[Line, Field(max_length=400)]
    factor: Annotated[Line, Field(max_length=100)]


class Explained(Answered):
    """The entry of one description in an answer."""

    factors: tuple[_Factor, ...]


def explain(ask: Questions, captions: Sequence[Caption], vocabulary: Vocabulary) -> list[Caption]:
    """The captions with the factors that explain them; none where the model named none that can be used.

    Raises:
        MiningFailed: answers could not be had.
    """
    asked = blocks(captions, ask.settings.batch)
    count = ask.settings.factors
    items = []
    for block in asked:
        told = {str(i): {"objects": c.labels, "description": c.text} for i, c in enumerate(block, start=1)}
        numbers = list(told)
        variables = {"photographs": told, "count": count}
        items.append(Item(variables, schema(numbers, count), partial(explained, numbers=numbers)))
    found: list[Caption] = []
    for block, answer in zip(asked, ask.answers("explain", items), strict=True):
        for caption, factors in zip(block, answer, strict=True):
            found.append(caption.model_copy(update={"factors": usable(factors, caption.text, vocabulary)}))
    return found


def explained(text: str, numbers: list[str]) -> list[tuple[Factor, ...]]:
    """The factors of an answer, for each number in their order.

    Raises:
        InvalidAnswer: another form, or a description without any factor.
    """
    found = []
    for number, entry in zip(numbers, numbered(Explained, text, numbers), strict=True):
        if not entry.factors:
            raise InvalidAnswer(f"{number}: no factor")
        given = [f for f in entry.factors if f.words and f.factor]
        found.append(tuple(Factor(words=f.words, kind=fold(f.factor)) for f in given))
    return found


def usable(factors: Sequence[Factor], description: str, vocabulary: Vocabulary) -> tuple[Factor, ...]:
    """The factors whose words stand in the description and whose kind says something; each kind once."""
    kept: dict[str, Factor] = {}
    for factor in factors:
        if grounded(factor.words, description) and vocabulary.problem(factor.kind) is None:
            kept.setdefault(factor.kind, factor)
    return tuple(kept.values())


def grounded(words: str, description: str) -> bool:
    """Whether all of the words stand in the description, in any case, singular or plural."""
    return fold(words) in fold(description) or (bool(stems(words)) and stems(words) <= stems(description))


def schema(numbers: list[str], count: int) -> dict[str, Any]:
    """The JSON schema of an answer."""
    one = object_schema({"words": text_schema(WORDS), "factor": text_schema(KIND)})
    return object_schema(dict.fromkeys(numbers, object_schema({"factors": array_schema(one, count, count)})))
