"""Stage appearance: the visual attributes by which each label is recognised, one request a label.

A small model repeats the label, lists an attribute twice, or answers with words of the question ("shape, material").
Such attributes are dropped, and the question is asked again if less than half are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from condition_miner.errors import MiningFailed
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.describe import FIRST_IDEOGRAPH
from condition_miner.stages.questions import Questions, QuestionSpec
from condition_miner.stages.schemas import (
    AnswerModel,
    Phrase,
    array_schema,
    object_schema,
    parse_answer,
    text_schema,
)
from condition_miner.stages.vocabulary import stems
from fedmpt.common.words import fold
from prompt_bank.schema import Label

MAX_ATTRIBUTE_CHARACTERS = 60
"""The longest attribute; a prompt of CLIP has room for about 70 words."""
_ASPECTS = "part form shape colour color material surface size texture look adjective attribute"
ASPECTS = frozenset(_ASPECTS.split())
"""Words of the question, which say nothing by themselves."""
ENDS = " .,;:"
"""Signs that are removed at an attribute's ends."""


class AppearanceAnswer(AnswerModel):
    """An answer to message appearance."""

    attributes: tuple[Annotated[Phrase, Field(max_length=400)], ...]


def appearance(questions: Questions, labels: Sequence[Label], count: int) -> tuple[Label, ...]:
    """The labels with the attributes that the model names; without any where its answer is missing.

    Args:
        questions: asks.
        labels: C labels.
        count: attributes that are asked for of each.

    Raises:
        MiningFailed: too many answers are missing.
    """
    specs = [
        QuestionSpec(
            {"label": label.name, "count": count},
            answer_schema(count),
            partial(parse_attributes, names=(label.name, *label.aliases), count=count),
            about=label.name,
        )
        for label in labels
    ]
    found = questions.answers("appearance", specs)
    if not any(found):
        raise MiningFailed("no label was given attributes; try another --model")
    return tuple(
        label.model_copy(update={"attributes": answer or ()}) for label, answer in zip(labels, found, strict=True)
    )


def parse_attributes(text: str, names: Sequence[str], count: int) -> tuple[str, ...]:
    """The distinct, usable attributes in an answer, at most `count`.

    Args:
        text: the raw answer.
        names: the label's name and aliases; an attribute that says nothing else is no attribute.
        count: the requested number.

    Raises:
        InvalidAnswer: it has another form, a script that the label does not have, or less than half of the attributes.
    """
    known = ASPECTS.union(*(stems(name) for name in names)) | set().union(*(fold(name).split() for name in names))
    kept: dict[str, str] = {}
    for phrase in parse_answer(AppearanceAnswer, text).attributes:
        attribute = phrase.strip(ENDS)
        words = stems(attribute) or set(fold(attribute).split())
        if len(attribute) <= MAX_ATTRIBUTE_CHARACTERS and words - known:
            kept.setdefault(fold(attribute), attribute)
    if 2 * len(kept) < count:
        raise InvalidAnswer(f"{len(kept)} usable attributes instead of {count}")
    chosen = tuple(kept.values())[:count]
    if all(name.isascii() for name in names) and any(ord(sign) > FIRST_IDEOGRAPH for one in chosen for sign in one):
        raise InvalidAnswer("an attribute has signs of another script")
    return chosen


def answer_schema(count: int) -> dict[str, Any]:
    """The JSON schema of answers."""
    return object_schema({"attributes": array_schema(text_schema(MAX_ATTRIBUTE_CHARACTERS), count, count)})
