"""describe: for each label combination, one request for several photographs; the occasions first, then the sentences.

A small model forgets objects. Sentences are checked for the labels' words: a combination of which no sentence names
all labels is asked for once more, the sentences that name most are kept, and a caption counts for the labels it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from condition_miner.model.reading import InvalidAnswer
from condition_miner.stages.forms import Answered, Line, Phrase, array_schema, object_schema, text_schema, validated
from condition_miner.stages.questions import Item, Questions
from condition_miner.stages.vocabulary import stems
from fedmpt.common.words import fold
from prompt_bank.schema import Caption, Label

LONGEST = 200
"""Characters of a description that are asked for."""
OTHER_SCRIPTS = 0x2E7F
"""Code points above are ideographs and syllabaries."""


class Described(Answered):
    """An answer."""

    occasions: tuple[Line, ...]
    descriptions: tuple[Annotated[Phrase, Field(max_length=600)], ...]


def describe(ask: Questions, labels: Sequence[Label], combinations: Sequence[tuple[str, ...]]) -> list[Caption]:
    """Captions of all combinations, in their order; at least one for each.

    Raises:
        MiningFailed: answers could not be had.
    """
    named = {label.name: (label.name, *label.aliases) for label in labels}
    read = partial(described, count=ask.settings.captions, ascii_only=all(label.name.isascii() for label in labels))
    texts = _texts(ask, combinations, read, sample=0)
    again = [c for c in combinations if max(len(shown(text, c, named)) for text in texts[c]) < len(c)]
    for combination, more in _texts(ask, again, read, sample=1).items():
        texts[combination] = tuple(dict.fromkeys(texts[combination] + more))
    captions: list[Caption] = []
    for combination in combinations:
        for text, there in _best(texts[combination], combination, named, ask.settings.captions):
            captions.append(Caption(id=f"cap-{len(captions) + 1:04d}", labels=there, text=text))
    return captions


def described(text: str, count: int, ascii_only: bool) -> tuple[str, ...]:
    """The different descriptions of an answer; at most one may be a repetition.

    Args:
        text: the raw answer.
        count: how many were asked for.
        ascii_only: the labels are, so a description in another script is a slip of the model.

    Raises:
        InvalidAnswer: it is not.
    """
    different = tuple(dict.fromkeys(validated(Described, text).descriptions))
    if not max(1, count - 1) <= len(different) <= count:
        raise InvalidAnswer(f"{len(different)} different descriptions instead of {count}")
    if ascii_only and any(ord(sign) > OTHER_SCRIPTS for description in different for sign in description):
        raise InvalidAnswer("a description has signs of another script")
    return different


def schema(count: int) -> dict[str, Any]:
    """The JSON schema of an answer."""
    return object_schema(
        {
            "occasions": array_schema(text_schema(30), count, count),
            "descriptions": array_schema(text_schema(LONGEST), count, count),
        }
    )


def shown(text: str, labels: Sequence[str], named: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Those of the labels that a description names, by name or alias, in any case, singular or plural.

    Args:
        text: the description.
        labels: names to look for.
        named: each label's name and aliases.
    """
    words, folded = stems(text), fold(text)

    def names(label: str) -> bool:
        for name in named[label]:
            # Where words are not set apart by spaces, a name is looked for letter by letter.
            if (stems(name) and stems(name) <= words) or (not name.isascii() and fold(name) in folded):
                return True
        return False

    return tuple(label for label in labels if names(label))


def _texts(
    ask: Questions, combinations: Sequence[tuple[str, ...]], read: Any, sample: int
) -> dict[tuple[str, ...], tuple[str, ...]]:
    count = ask.settings.captions
    items = [Item({"labels": list(c), "count": count}, schema(count), read, sample) for c in combinations]
    return dict(zip(combinations, ask.answers("describe", items), strict=True))


def _best(
    texts: Sequence[str], combination: tuple[str, ...], named: dict[str, tuple[str, ...]], count: int
) -> list[tuple[str, tuple[str, ...]]]:
    """The descriptions that name most labels, with the labels that they name, or with all where none is named."""
    found = sorted(((text, shown(text, combination, named)) for text in texts), key=lambda pair: -len(pair[1]))
    most = len(found[0][1])
    kept = [pair for pair in found if len(pair[1]) == most or len(pair[1]) >= 2][:count]
    return [(text, there or combination) for text, there in kept]
