"""Stage describe: several captions per label combination from one request, which asks for occasions first.

A small model forgets objects, so captions are searched for the labels' names. A combination without a caption that
names all its labels is requested once more, the captions that name most labels are kept, and a caption has the labels
that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from condition_miner.errors import MiningFailed
from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.questions import Questions, QuestionSpec
from condition_miner.stages.schemas import (
    AnswerModel,
    Line,
    Phrase,
    array_schema,
    object_schema,
    parse_answer,
    text_schema,
)
from condition_miner.stages.vocabulary import stems
from fedmpt.common.words import fold
from prompt_bank.schema import Caption, Label

MAX_DESCRIPTION_CHARACTERS = 200
"""The longest description, in the JSON schema."""
FIRST_IDEOGRAPH = 0x2E7F
"""Code points above this one are CJK ideographs and syllabaries."""


class DescribeAnswer(AnswerModel):
    """An answer to message describe."""

    occasions: tuple[Line, ...]
    descriptions: tuple[Annotated[Phrase, Field(max_length=600)], ...]


def describe(questions: Questions, labels: Sequence[Label], combinations: Sequence[tuple[str, ...]]) -> list[Caption]:
    """Captions of all combinations, in order, at least one each; none of a combination whose question has no answer.

    Raises:
        MiningFailed: too many answers are missing.
    """
    named = {label.name: (label.name, *label.aliases) for label in labels}
    read = partial(
        parse_descriptions, count=questions.settings.captions, ascii_only=all(label.name.isascii() for label in labels)
    )
    texts = _texts(questions, combinations, read, sample=0)
    if not texts:
        raise MiningFailed("no combination of labels was described; try another --model")
    again = [c for c in texts if max(len(labels_named(text, c, named)) for text in texts[c]) < len(c)]
    for combination, more in _texts(questions, again, read, sample=1).items():
        texts[combination] = tuple(dict.fromkeys(texts[combination] + more))
    captions: list[Caption] = []
    for combination in texts:
        for text, there in _best(texts[combination], combination, named, questions.settings.captions):
            captions.append(Caption(id=f"cap-{len(captions) + 1:04d}", labels=there, text=text))
    return captions


def parse_descriptions(text: str, count: int, ascii_only: bool) -> tuple[str, ...]:
    """The distinct descriptions in an answer, `count` of them or one fewer.

    Args:
        text: the raw answer.
        count: the requested number of descriptions.
        ascii_only: whether all labels are ASCII, so that a description in a CJK script is an error of the model.

    Raises:
        InvalidAnswer: it has another form, too few distinct descriptions, or another script.
    """
    different = tuple(dict.fromkeys(parse_answer(DescribeAnswer, text).descriptions))
    if not max(1, count - 1) <= len(different) <= count:
        raise InvalidAnswer(f"{len(different)} different descriptions instead of {count}")
    if ascii_only and any(ord(sign) > FIRST_IDEOGRAPH for description in different for sign in description):
        raise InvalidAnswer("a description has signs of another script")
    return different


def answer_schema(count: int) -> dict[str, Any]:
    """The JSON schema of answers."""
    return object_schema(
        {
            "occasions": array_schema(text_schema(30), count, count),
            "descriptions": array_schema(text_schema(MAX_DESCRIPTION_CHARACTERS), count, count),
        }
    )


def labels_named(text: str, labels: Sequence[str], named: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The labels that a description names, by name or alias, in any case, singular or plural.

    Args:
        text: the description.
        labels: label names to search for.
        named: for each label its name and aliases.
    """
    words, folded = stems(text), fold(text)

    def names(label: str) -> bool:
        for name in named[label]:
            # In scripts without spaces between words, a name is searched as a substring.
            if (stems(name) and stems(name) <= words) or (not name.isascii() and fold(name) in folded):
                return True
        return False

    return tuple(label for label in labels if names(label))


def _texts(
    questions: Questions, combinations: Sequence[tuple[str, ...]], read: Any, sample: int
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """The descriptions of the combinations whose questions have an answer; of the second ones any number may lack."""
    count = questions.settings.captions
    specs = [
        QuestionSpec({"labels": list(c), "count": count}, answer_schema(count), read, sample, " + ".join(c))
        for c in combinations
    ]
    found = zip(combinations, questions.answers("describe", specs, optional=sample > 0), strict=True)
    return {combination: texts for combination, texts in found if texts}


def _best(
    texts: Sequence[str], combination: tuple[str, ...], named: dict[str, tuple[str, ...]], count: int
) -> list[tuple[str, tuple[str, ...]]]:
    """The descriptions that name most labels, with these labels; with all labels if no description names any."""
    found = sorted(((text, labels_named(text, combination, named)) for text in texts), key=lambda pair: -len(pair[1]))
    most = len(found[0][1])
    kept = [pair for pair in found if len(pair[1]) == most or len(pair[1]) >= 2][:count]
    return [(text, there or combination) for text, there in kept]
