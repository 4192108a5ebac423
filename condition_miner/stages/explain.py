"""explain: which factors make the labels of each description occur together, with the words that show them.

A small model that sees objects names objects. So the labels are covered (X1, X2 …) in the descriptions that it reads,
and the words come first, their kind second. Factors whose words do not stand in the description are dropped, so that
every explanation can be looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Annotated, Any

from pydantic import Field

from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.forms import Answered, Line, array_schema, numbered, object_schema, text_schema
from condition_miner.stages.questions import Item, Questions, blocks
from condition_miner.stages.vocabulary import LONGEST, Vocabulary, in_words, stems
from fedmpt.common.words import fold
from prompt_bank.schema import Caption, Factor, Label

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


def explain(
    ask: Questions, captions: Sequence[Caption], labels: Sequence[Label], vocabulary: Vocabulary
) -> list[Caption]:
    """The captions with the factors that explain them; none where the model named none that can be used.

    Raises:
        MiningFailed: answers could not be had.
    """
    named = {label.name: (label.name, *label.aliases) for label in labels}
    asked = blocks([(caption, covered(caption, named)) for caption in captions], ask.settings.batch)
    count = ask.settings.factors
    items = []
    for block in asked:
        told = {str(number): text for number, (_, text) in enumerate(block, start=1)}
        numbers = list(told)
        variables = {"descriptions": told, "count": count}
        items.append(Item(variables, schema(numbers, count), partial(explained, numbers=numbers)))
    found: list[Caption] = []
    for block, answer in zip(asked, ask.answers("explain", items), strict=True):
        for (caption, text), factors in zip(block, answer, strict=True):
            kept = [uncovered(factor, caption) for factor in usable(factors, text, vocabulary)]
            found.append(caption.model_copy(update={"factors": tuple(kept)}))
    return found


def covered(caption: Caption, named: dict[str, tuple[str, ...]]) -> str:
    """A caption's text with X1 for its first label, X2 for its second …, in any case, singular or plural.

    Args:
        caption: whose labels are covered.
        named: each label's name and aliases.
    """
    signs = {fold(name): f"X{i}" for i, label in enumerate(caption.labels, start=1) for name in named[label]}
    alone = [(rf"\b{re.escape(name)}s?\b" if name.isascii() else re.escape(name)) for name in signs]
    pattern = "|".join(sorted(alone, key=len, reverse=True))

    def sign(match: re.Match[str]) -> str:
        name = fold(match[0])
        return signs.get(name) or signs.get(name.removesuffix("s"), match[0])

    return re.sub(pattern, sign, caption.text, flags=re.IGNORECASE)


def uncovered(factor: Factor, caption: Caption) -> Factor:
    """The factor with the labels in its words again."""

    def name(match: re.Match[str]) -> str:
        number = int(match[1])
        return caption.labels[number - 1] if 1 <= number <= len(caption.labels) else match[0]

    return factor.model_copy(update={"words": re.sub(r"\bX(\d{1,2})\b", name, factor.words)})


def explained(text: str, numbers: list[str]) -> list[tuple[Factor, ...]]:
    """The factors of an answer, for each number in their order.

    Raises:
        InvalidAnswer: another form, or a description without any factor.
    """
    found = []
    for number, entry in zip(numbers, numbered(Explained, text, numbers), strict=True):
        if not entry.factors:
            raise InvalidAnswer(f"{number}: no factor")
        given = [(f.words, in_words(f.factor)) for f in entry.factors]
        # Folded, a name may be longer than it was written.
        found.append(tuple(Factor(words=w, kind=kind) for w, kind in given if w and 0 < len(kind) <= LONGEST))
    return found


def usable(factors: Sequence[Factor], description: str, vocabulary: Vocabulary) -> tuple[Factor, ...]:
    """The factors whose words stand in the description and whose kind says something; each kind once."""
    kept: dict[str, Factor] = {}
    for factor in factors:
        if grounded(factor.words, description) and vocabulary.problem(factor.kind) is None:
            kept.setdefault(factor.kind, factor)
    return tuple(kept.values())


def grounded(words: str, description: str) -> bool:
    """Whether all of the words stand in the description, in any form: "sunrise" for "the sun rises"."""
    if fold(words) in fold(description):
        return True
    there = stems(description)
    return bool(stems(words)) and all(any(_alike(word, other) for other in there) for word in stems(words))


def _alike(word: str, other: str) -> bool:
    """Whether two words begin alike: three letters at the least, and most of the shorter one."""
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
    shorter = min(len(word), len(other))
    return word == other or common >= max(3, 0.6 * shorter)


def schema(numbers: list[str], count: int) -> dict[str, Any]:
    """The JSON schema of an answer."""
    one = object_schema({"words": text_schema(WORDS), "factor": text_schema(KIND)})
    return object_schema(dict.fromkeys(numbers, object_schema({"factors": array_schema(one, count, count)})))
