"""Sampling scene content: broad scenes for pretraining, scenes by a site's habits, and independent test scenes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.data.scenes.backgrounds import SCENES
from trainer.data.scenes.compose import Spec
from trainer.data.scenes.light import LIGHTS
from trainer.data.scenes.objects import CLASSES, KINDS

USUAL: dict[str, tuple[str, ...]] = {
    "street": ("car", "bus", "person", "bicycle", "motorbike", "traffic light", "dog", "umbrella", "cat", "bird"),
    "farm": ("cow", "sheep", "horse", "dog", "person", "bird", "cat"),
    "living room": (
        "sofa",
        "tv monitor",
        "chair",
        "cat",
        "dog",
        "potted plant",
        "person",
        "clock",
        "bottle",
        "cup",
    ),
    "kitchen": ("dining table", "chair", "bottle", "cup", "person", "clock", "cat", "potted plant"),
    "harbour": ("boat", "bird", "person", "bicycle", "dog", "car", "umbrella"),
    "airport": ("aeroplane", "bus", "car", "person", "bird"),
    "park": ("person", "dog", "bicycle", "bird", "umbrella", "horse", "chair", "cat"),
    "railway station": ("train", "person", "clock", "bicycle", "chair", "umbrella", "dog"),
    "snowy field": ("person", "dog", "horse", "sheep", "bird", "car"),
    "office": ("tv monitor", "chair", "dining table", "clock", "cup", "potted plant", "person", "bottle"),
}
"""The usual objects of each scene."""

FIRST_TIED_PAIR = ("cat", "sofa")
"""A tied pair of the first site of every world: the documentation's example of a spurious pair."""


@dataclass(frozen=True)
class Habits:
    """The biases of a site's images.

    Attributes:
        light: the light of most of its images.
        scenes: the three scenes of most of its images.
        pairs: twelve pairs that cover all classes; the two labels of a pair mostly occur together.
    """

    light: str
    scenes: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def habits(site: int, rng: np.random.Generator) -> Habits:
    """Sample a site's habits. Lights are assigned cyclically, so that each has a site."""
    order = [CLASSES[i] for i in rng.permutation(len(CLASSES))]
    if site == 0:
        order = list(FIRST_TIED_PAIR) + [name for name in order if name not in FIRST_TIED_PAIR]
    pairs = tuple(zip(order[::2], order[1::2], strict=True))
    scenes = tuple(str(s) for s in rng.choice(list(SCENES), size=3, replace=False))
    return Habits(LIGHTS[site % len(LIGHTS)], scenes, pairs)


def site_spec(rng: np.random.Generator, own: Habits, strength: float) -> Spec:
    """A scene of a site: with probability `strength`, independently, its light, its scenes and each pair hold."""
    scene = own.scenes[rng.integers(len(own.scenes))] if rng.random() < strength else _any(rng, tuple(SCENES))
    light = own.light if rng.random() < strength else _any(rng, LIGHTS)
    names: list[str] = []
    for index in rng.choice(len(own.pairs), size=int(rng.integers(1, 3)), replace=False):
        pair = own.pairs[index]
        names += pair if rng.random() < strength else [pair[rng.integers(2)]]
    return Spec(scene, light, tuple(names))


def independent_spec(rng: np.random.Generator) -> Spec:
    """A scene with independent content: one to four classes, any scene, any light."""
    names = rng.choice(CLASSES, size=int(rng.integers(1, 5)), replace=False)
    return Spec(_any(rng, tuple(SCENES)), _any(rng, LIGHTS), tuple(str(name) for name in names))


@dataclass(frozen=True)
class HeldOut:
    """Combinations that pretraining never shows.

    Attributes:
        colours: (class, colour) pairs.
        scenes: (class, scene) pairs.
    """

    colours: frozenset[tuple[str, str]]
    scenes: frozenset[tuple[str, str]]

    def colour_allowed(self, name: str, colour: str) -> bool:
        """Whether pretraining may show the class in that colour."""
        return (name, colour) not in self.colours

    def scene_allowed(self, name: str, scene: str) -> bool:
        """Whether pretraining may show the class in that scene."""
        return (name, scene) not in self.scenes


def held_out(seed: int = 0) -> HeldOut:
    """One colour and one scene of each class, sampled once.

    Each class keeps at least two colours, and its held-out colour occurs in other classes, so it can be recombined.
    """
    rng = np.random.default_rng((seed, 991))
    colours = frozenset((name, kind.colours[rng.integers(len(kind.colours))]) for name, kind in KINDS.items())
    scenes = frozenset((name, _any(rng, tuple(SCENES))) for name in CLASSES)
    return HeldOut(colours, scenes)


def broad_spec(rng: np.random.Generator, without: HeldOut, natural: float = 0.4) -> Spec:
    """A scene for pretraining: one to five objects, usual ones with probability `natural`, else any; some twice."""
    scene = _any(rng, tuple(SCENES))
    light = str(rng.choice(LIGHTS, p=(0.4, 0.15, 0.15, 0.15, 0.15)))
    pool = USUAL[scene] if rng.random() < natural else CLASSES
    pool = tuple(name for name in pool if without.scene_allowed(name, scene))
    count = min(int(rng.integers(1, 6)), len(pool))
    names = [str(name) for name in rng.choice(pool, size=count, replace=False)]
    if rng.random() < 0.25:
        names.append(names[rng.integers(len(names))])
    return Spec(scene, light, tuple(names))


def _any(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[rng.integers(len(choices))]
