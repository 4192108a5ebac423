"""Stage explain: the factors that make the labels of each caption occur together, each with words quoted from it.

A small model that reads object names answers with object names. So the labels are masked (X1, X2 …), and the model
first quotes the words and then names their kind. Factors whose words are not in the caption are dropped, so that every
explanation can be traced to its text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Annotated, Any

from pydantic import Field

from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.questions import Questions, QuestionSpec, batches
from condition_miner.stages.schemas import AnswerModel, Line, array_schema, object_schema, parse_numbered, text_schema
from condition_miner.stages.vocabulary import MAX_NAME_CHARACTERS, Vocabulary, spell_out, stems
from fedmpt.common.words import fold
from prompt_bank.schema import Caption, Factor, Label

MAX_KIND_CHARACTERS = 30
"""The longest kind, in the JSON schema."""
MAX_WORDS_CHARACTERS = 60
"""The longest quoted words, in the JSON schema."""


class _Factor(AnswerModel):
    words: Annotated[Line, Field(max_length=400)]
    factor: Annotated[Line, Field(max_length=100)]


class ExplainedEntry(AnswerModel):
    """The entry of one description in an answer to message explain."""

    factors: tuple[_Factor, ...]


def explain(
    questions: Questions, captions: Sequence[Caption], labels: Sequence[Label], vocabulary: Vocabulary
) -> list[Caption]:
    """The captions with the factors that explain them; without factors if the model named no usable one, or nothing.

    Raises:
        MiningFailed: too many answers are missing.
    """
    named = {label.name: (label.name, *label.aliases) for label in labels}
    asked = batches([(caption, mask_labels(caption, named)) for caption in captions], questions.settings.batch)
    count = questions.settings.factors
    specs = []
    for block in asked:
        told = {str(number): text for number, (_, text) in enumerate(block, start=1)}
        numbers = list(told)
        variables = {"descriptions": told, "count": count}
        read = partial(parse_factors, numbers=numbers)
        about = "; ".join(dict.fromkeys(" + ".join(caption.labels) for caption, _ in block))
        specs.append(QuestionSpec(variables, answer_schema(numbers, count), read, about=about))
    found: list[Caption] = []
    for block, answer in zip(asked, questions.answers("explain", specs), strict=True):
        for (caption, text), factors in zip(block, answer or [()] * len(block), strict=True):
            kept = [unmask_labels(factor, caption) for factor in usable_factors(factors, text, vocabulary)]
            found.append(caption.model_copy(update={"factors": tuple(kept)}))
    return found


def mask_labels(caption: Caption, named: dict[str, tuple[str, ...]]) -> str:
    """A caption's text with X1 in place of its first label, X2 of its second …, in any case, singular or plural.

    Args:
        caption: the caption.
        named: for each label its name and aliases.
    """
    signs = {fold(name): f"X{i}" for i, label in enumerate(caption.labels, start=1) for name in named[label]}
    patterns = [(rf"\b{re.escape(name)}s?\b" if name.isascii() else re.escape(name)) for name in signs]
    pattern = "|".join(sorted(patterns, key=len, reverse=True))

    def sign(match: re.Match[str]) -> str:
        name = fold(match[0])
        return signs.get(name) or signs.get(name.removesuffix("s"), match[0])

    return re.sub(pattern, sign, caption.text, flags=re.IGNORECASE)


def unmask_labels(factor: Factor, caption: Caption) -> Factor:
    """The factor with the label names in place of X1, X2 … in its words."""

    def name(match: re.Match[str]) -> str:
        number = int(match[1])
        return caption.labels[number - 1] if 1 <= number <= len(caption.labels) else match[0]

    return factor.model_copy(update={"words": re.sub(r"\bX(\d{1,2})\b", name, factor.words)})


def parse_factors(text: str, numbers: list[str]) -> list[tuple[Factor, ...]]:
    """The factors of each numbered description in an answer.

    Raises:
        InvalidAnswer: it has another form, or a description without factors.
    """
    found = []
    for number, entry in zip(numbers, parse_numbered(ExplainedEntry, text, numbers), strict=True):
        if not entry.factors:
            raise InvalidAnswer(f"{number}: no factor")
        given = [(f.words, spell_out(f.factor)) for f in entry.factors]
        # Folding may make a name longer.
        found.append(
            tuple(Factor(words=w, kind=kind) for w, kind in given if w and 0 < len(kind) <= MAX_NAME_CHARACTERS)
        )
    return found


def usable_factors(factors: Sequence[Factor], description: str, vocabulary: Vocabulary) -> tuple[Factor, ...]:
    """The factors with words from the description and a meaningful kind, the first of each kind."""
    kept: dict[str, Factor] = {}
    for factor in factors:
        if grounded(factor.words, description) and vocabulary.problem(factor.kind) is None:
            kept.setdefault(factor.kind, factor)
    return tuple(kept.values())


def grounded(words: str, description: str) -> bool:
    """Whether all words are in the description, in any word form: "sunrise" matches "the sun rises"."""
    if fold(words) in fold(description):
        return True
    there = stems(description)
    return bool(stems(words)) and all(any(_alike(word, other) for other in there) for word in stems(words))


def _alike(word: str, other: str) -> bool:
    """Whether two words share a prefix of at least three letters and 60 % of the shorter word."""
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
    shorter = min(len(word), len(other))
    return word == other or common >= max(3, 0.6 * shorter)


def answer_schema(numbers: list[str], count: int) -> dict[str, Any]:
    """The JSON schema of answers."""
    one = object_schema({"words": text_schema(MAX_WORDS_CHARACTERS), "factor": text_schema(MAX_KIND_CHARACTERS)})
    return object_schema(dict.fromkeys(numbers, object_schema({"factors": array_schema(one, count, count)})))
