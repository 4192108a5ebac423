"""What occurs together: broad scenes for pretraining, a site's own habits, and test scenes that break them."""

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
"""Objects at home in a scene."""

TIED_FIRST = ("cat", "sofa")
"""Tied at the first site of every world: the standing example of a spurious pair."""


@dataclass(frozen=True)
class Habits:
    """What a site's images have in common.

    Attributes:
        light: the light of most of its images.
        scenes: the three scenes of most of its images.
        pairs: twelve pairs that cover all classes; where one of a pair is, the other mostly is too.
    """

    light: str
    scenes: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def habits(site: int, rng: np.random.Generator) -> Habits:
    """A site's habits; lights go round so that every light has a site."""
    order = [CLASSES[i] for i in rng.permutation(len(CLASSES))]
    if site == 0:
        order = list(TIED_FIRST) + [name for name in order if name not in TIED_FIRST]
    pairs = tuple(zip(order[::2], order[1::2], strict=True))
    scenes = tuple(str(s) for s in rng.choice(list(SCENES), size=3, replace=False))
    return Habits(LIGHTS[site % len(LIGHTS)], scenes, pairs)


def site_spec(rng: np.random.Generator, own: Habits, strength: float) -> Spec:
    """A scene of a site: with probability `strength` its light, its scenes and its pairs hold, each on its own."""
    scene = own.scenes[rng.integers(len(own.scenes))] if rng.random() < strength else _any(rng, tuple(SCENES))
    light = own.light if rng.random() < strength else _any(rng, LIGHTS)
    names: list[str] = []
    for index in rng.choice(len(own.pairs), size=int(rng.integers(1, 3)), replace=False):
        pair = own.pairs[index]
        names += pair if rng.random() < strength else [pair[rng.integers(2)]]
    return Spec(scene, light, tuple(names))


def independent_spec(rng: np.random.Generator) -> Spec:
    """A scene in which nothing depends on anything: one to four classes, any scene, any light."""
    names = rng.choice(CLASSES, size=int(rng.integers(1, 5)), replace=False)
    return Spec(_any(rng, tuple(SCENES)), _any(rng, LIGHTS), tuple(str(name) for name in names))


@dataclass(frozen=True)
class HeldOut:
    """Compositions that pretraining never shows.

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
    """One colour of each class and one scene of each class, drawn once.

    A class keeps at least two colours; the colour is one that other classes show, so that it can be recombined.
    """
    rng = np.random.default_rng((seed, 991))
    colours = frozenset((name, kind.colours[rng.integers(len(kind.colours))]) for name, kind in KINDS.items())
    scenes = frozenset((name, _any(rng, tuple(SCENES))) for name in CLASSES)
    return HeldOut(colours, scenes)


def broad_spec(rng: np.random.Generator, without: HeldOut, natural: float = 0.4) -> Spec:
    """A scene for pretraining: one to five objects, at home in it with probability `natural`, else any; some twice."""
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
