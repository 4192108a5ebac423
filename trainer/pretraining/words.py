"""The compositional word space, a direction for each word of the drawn world, and sentences of these words.

The directions of words are orthogonal. The meaning of a sentence is the normalised, weighted sum of its words'
directions. Shape letters: W words, D joint width.
"""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.data.scenes.backgrounds import INDOORS, SCENES
from trainer.data.scenes.compose import Picture, Placed
from trainer.data.scenes.light import LIGHTS
from trainer.data.scenes.objects import CLASSES, KINDS
from trainer.data.scenes.pen import HUES

COLOURS = tuple(HUES)
VARIANTS = tuple(dict.fromkeys(v for kind in KINDS.values() for v in kind.variants if v))
SCALES = ("small", "large")
POSES = tuple(v for kind in KINDS.values() if kind.attribute == "pose" for v in kind.variants)

SYNONYMS: dict[str, tuple[str, ...]] = {
    "night": ("night", "dark"),
    "fog": ("fog", "foggy"),
    "dusk": ("dusk", "sunset"),
    "rain": ("rain", "rainy"),
    "daylight": ("daylight", "sunny"),
    "tv monitor": ("tv monitor", "tv", "television"),
    "aeroplane": ("aeroplane", "airplane"),
    "on": ("turned on",),
    "off": ("turned off",),
}
"""The expressions for a word, if other than the word itself."""

HYPERNYMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("weather", "lighting", "light", "time", "season"), LIGHTS),
    **dict.fromkeys(("background", "place", "location", "setting", "environment"), tuple(SCENES)),
    **dict.fromkeys(("color", "colour"), COLOURS),
    **dict.fromkeys(("pose", "posture", "activity", "action"), tuple(dict.fromkeys(POSES))),
    **dict.fromkeys(("size", "scale", "distance"), SCALES),
    **dict.fromkeys(("indoors", "indoor", "room"), tuple(INDOORS)),
    **dict.fromkeys(("outdoors", "outdoor"), tuple(s for s in SCENES if s not in INDOORS)),
    **dict.fromkeys(("animal", "animals"), ("bird", "cat", "cow", "dog", "horse", "sheep")),
    **dict.fromkeys(
        ("vehicle", "vehicles", "transportation"),
        ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"),
    ),
    "furniture": ("chair", "dining table", "sofa"),
}
"""Words that stand for several; their direction is the normalised sum of the directions of these."""

TEMPLATES = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "{}",
    "there is {}",
    "a close view of {}",
    "a drawing of {}",
    "a scene with {}",
)
LIGHT_PHRASES: dict[str, tuple[str, ...]] = {
    "daylight": ("in daylight", "on a sunny day"),
    "night": ("at night", "in the dark"),
    "fog": ("in fog", "on a foggy day"),
    "dusk": ("at dusk", "at sunset"),
    "rain": ("in the rain", "on a rainy day"),
}


class WordSpace:
    """The directions of all words.

    Args:
        dim: D, at least the number of words.
        seed: of the orthonormal directions.
    """

    def __init__(self, dim: int, seed: int = 7) -> None:
        self.words = (*CLASSES, *SCENES, *LIGHTS, *COLOURS, *VARIANTS, *SCALES)
        generator = torch.Generator().manual_seed(seed)
        basis = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
        self.vectors = basis[: len(self.words)]
        self._of = {word: self.vectors[i] for i, word in enumerate(self.words)}

    def group(self, words: tuple[str, ...]) -> Tensor:
        """(W, D) directions of some words."""
        return torch.stack([self._of[word] for word in words])

    def meaning(self, sentence: str) -> Tensor | None:
        """The normalised direction (D,) of a sentence; None if it contains no word of the drawn world."""
        total = torch.zeros(self.vectors.shape[1])
        for expression in self._pattern.findall(sentence):
            total += self._expressions[expression]
        return F.normalize(total, dim=0) if bool(total.any()) else None

    @cached_property
    def _expressions(self) -> dict[str, Tensor]:
        """The weighted directions of all expressions."""
        found = {word: 0.3 * F.normalize(self.group(below).sum(0), dim=0) for word, below in HYPERNYMS.items()}
        for word in self.words:
            found |= dict.fromkeys(SYNONYMS.get(word, (word,)), self._weight(word) * self._of[word])
        return found

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first, so that "traffic light" does not match "light".
        expressions = sorted(self._expressions, key=len, reverse=True)
        return re.compile(r"\b(?:" + "|".join(re.escape(expression) for expression in expressions) + r")\b")

    @staticmethod
    def _weight(word: str) -> float:
        return 1.0 if word in CLASSES else 0.6 if word in SCENES or word in LIGHTS else 0.45


def article(phrase: str) -> str:
    """The phrase with an indefinite article."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def caption(picture: Picture, rng: np.random.Generator) -> str:
    """A sentence about some of a picture's objects, optionally with its scene and its light."""
    objects = [picture.objects[i] for i in rng.permutation(len(picture.objects))]
    count = len(objects) if rng.random() < 0.5 else 1 + int(rng.integers(len(objects)))
    phrases = [noun_phrase(item, rng) for item in objects[:count]]
    listed = ", ".join(phrases[:-1]) + " and " + phrases[-1] if count > 1 else phrases[0]
    sentence = _template(rng).format(listed)
    if rng.random() < 0.5:
        sentence += f" in the {picture.spec.scene}"
    if rng.random() < 0.5:
        sentence += f" {_light_phrase(picture.spec.light, rng)}"
    return sentence


def noun_phrase(item: Placed, rng: np.random.Generator, rich: float = 0.45) -> str:
    """An object with some of its attributes."""
    state = item.variant in ("on", "off")
    said = [word for word in (item.scale, item.colour, "" if state else item.variant) if word and rng.random() < rich]
    turned = f" turned {item.variant}" if state and rng.random() < rich else ""
    return article(" ".join([*said, item.name])) + turned


def label_sentence(rng: np.random.Generator) -> str:
    """A sentence with one label that does not refer to a picture, as in prompts."""
    name = CLASSES[rng.integers(len(CLASSES))]
    spoken = SYNONYMS.get(name, (name,))
    name = spoken[rng.integers(len(spoken))]
    sentence = _template(rng).format(article(name) if rng.random() < 0.7 else name)
    if rng.random() < 0.25:
        sentence += f" in the {tuple(SCENES)[rng.integers(len(SCENES))]}"
    if rng.random() < 0.25:
        sentence += f" {_light_phrase(LIGHTS[rng.integers(len(LIGHTS))], rng)}"
    return sentence


def condition_sentence(rng: np.random.Generator) -> str:
    """A hypernym before a label: "weather cat"."""
    words = tuple(HYPERNYMS)
    return f"{words[rng.integers(len(words))]} {CLASSES[rng.integers(len(CLASSES))]}"


def _template(rng: np.random.Generator) -> str:
    return TEMPLATES[rng.integers(len(TEMPLATES))]


def _light_phrase(light: str, rng: np.random.Generator) -> str:
    return LIGHT_PHRASES[light][rng.integers(len(LIGHT_PHRASES[light]))]
