"""What is asked of labels, and in which words. Chosen on COCO's labels alone (docs/mining.md has the figures).

A sentence about an image with a label is left open where the value of a condition would stand; the model's distribution
over the next word is log p(value | label). Some labels stand in front, so that the model knows what world it is in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from condition_miner.stages.vocabulary import CONCEPTS, stems

FRONT = "From a collection of {about}, which show things such as {some}."
"""What stands before every sentence, so that a server's prefix cache, or our own, reads it once."""
ABOUT = "photos"
"""What the images are where nobody has said it."""


@dataclass(frozen=True)
class Sought:
    """A condition whose values are asked for.

    Attributes:
        name: its words, where the bank has no condition of this meaning yet.
        definition: one sentence.
        means: words (stems) that name the same.
        sentences: open sentences, whose log-probabilities are averaged; {label} has its article.
        question: what is asked in a chat.
    """

    name: str
    definition: str
    means: frozenset[str]
    sentences: tuple[str, ...]
    question: str

    def is_meant_by(self, text: str) -> bool:
        """Whether a condition's text names this one."""
        return bool(stems(text) & self.means)


SOUGHT = (
    Sought(
        "place",
        "The kind of place where the image was taken.",
        frozenset(CONCEPTS["place"]),
        (
            "This one, with {label} in it, was taken at the",
            "This one shows {label}, so it was probably taken in a",
        ),
        "At what kind of place was the photograph taken?",
    ),
    Sought(
        "occasion",
        "The occasion or event on which the image was taken.",
        frozenset({"occasion", "event", "ceremony", "celebration"}),
        ("This one shows {label}. The occasion: a",),
        "On what occasion was the photograph taken?",
    ),
    Sought(
        "activity",
        "What people, animals or machines are doing.",
        frozenset({"activity", "action", "movement", "motion", "behavior", "behaviour", "interaction"}),
        ("This one shows {label}. What people are doing here:",),
        "What are people, animals or machines doing in the photograph?",
    ),
    Sought(
        "ground",
        "What things stand, lie or move on.",
        frozenset({"ground", "surface", "floor"}),
        ("This one shows {label} on the",),
        "On what do the main things in the photograph stand, lie or move?",
    ),
    Sought(
        "theme",
        "The subject of the collection or album that the image would be part of.",
        frozenset({"theme", "topic", "subject", "genre"}),
        ("This one shows {label}. The theme:",),
        "What is the theme of the album that the photograph belongs to?",
    ),
)


def fronts(labels: Sequence[str], about: str, draws: int, shown: int, seed: str) -> list[str]:
    """The texts before the sentences, each with other labels, drawn at random.

    Args:
        labels: C names.
        about: what the images are; "" for ABOUT.
        draws: the number of texts.
        shown: labels in each, or all if there are fewer.
        seed: of the draws.
    """
    found = []
    for draw in range(draws):
        some = random.Random(f"{seed}/{draw}").sample(list(labels), min(shown, len(labels)))
        found.append(FRONT.format(about=about or ABOUT, some=", ".join(map(one_line, some))))
    return found


def sentence(wording: str, label: str) -> str:
    """An open sentence about an image with a label."""
    name = one_line(label)
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return wording.format(label=f"{article} {name}")


def one_line(text: str) -> str:
    """A label's name as it may stand in a sentence: without line breaks and control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
