"""The drawn world: a multi-label image set under control, rendered when an image is asked for.

24 classes in ten scenes under five lights, in two variants. Tied: each training site has its own light, scenes and tied
label pairs; validation and test images break all of them. Natural: place, light and activity cause what is in a picture
(rules.py), at sites that see some places and in test images of all. In both, the corruption that the lights bring
is everywhere.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from trainer.config.data import ScenesConfig
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.scenes import natural
from trainer.data.scenes.compose import Picture, Spec, render
from trainer.data.scenes.cooccurrence import Habits, habits, independent_spec, site_spec
from trainer.data.scenes.objects import CLASSES

VERSION = 1
"""Raised whenever the drawing changes, so that cached features of older pictures are not taken for these."""

_STREAMS = {"train": 1, "validation": 2, "test": 3, "habits": 4}


@dataclass(frozen=True)
class _Drawn(ABC):
    """A seeded world; every picture is determined by (seed, split, index).

    Attributes: as in `trainer.config.data.DataConfig`.
    """

    seed: int
    sites: int
    images_per_site: int
    strength: float
    shift: float

    @abstractmethod
    def spec(self, rng: np.random.Generator, split: str, index: int) -> Spec:
        """What an image holds, by the first draws of its generator."""

    def described(self) -> dict[str, Any]:
        """All that decides its pictures, beside VERSION."""
        return dict(self.__dict__)

    def site(self, index: int) -> int:
        """The owner of a training image."""
        return index // self.images_per_site

    def picture(self, split: str, index: int) -> Picture:
        """An image with the truth about it: boxes, light, scene, variants and colours."""
        rng = self.generator(split, index)
        return render(self.spec(rng, split, index), rng, self.shift)

    def names(self, split: str, index: int) -> tuple[str, ...]:
        """The classes in an image, without drawing it."""
        return self.spec(self.generator(split, index), split, index).names

    def generator(self, split: str, index: int) -> np.random.Generator:
        """Of one image; the first draws decide what it holds, the others how it looks."""
        return np.random.default_rng((self.seed, _STREAMS[split], index))


class World(_Drawn):
    """The tied variant: a site's labels come in pairs; in validation and test images nothing depends on anything."""

    def habits(self, site: int) -> Habits:
        """What the images of a site have in common."""
        return _habits(self.seed, site)

    def spec(self, rng: np.random.Generator, split: str, index: int) -> Spec:
        """By the site's habits, or without any."""
        if split == "train":
            return site_spec(rng, self.habits(self.site(index)), self.strength)
        return independent_spec(rng)


@dataclass(frozen=True)
class NaturalWorld(_Drawn):
    """The natural variant: conditions are causes.

    Attributes: as in `trainer.config.data.ScenesConfig`.
    """

    places: int = ScenesConfig().places
    unusual: float = ScenesConfig().unusual
    ties: float = ScenesConfig().ties

    def circumstances(self, site: int | None) -> natural.Circumstances:
        """Under which a site's images are taken; None asks for those of validation and test images."""
        if site is None:
            return natural.everywhere(self.unusual)
        return _at_site(self.seed, site, self.places, self.strength, self.ties)

    def described(self) -> dict[str, Any]:
        """With the rules."""
        return {**super().described(), "variant": "natural", "rules": natural.RULES_VERSION}

    def spec(self, rng: np.random.Generator, split: str, index: int) -> Spec:
        """By the rules."""
        return self.circumstances(self.site(index) if split == "train" else None).draw(rng)


AnyWorld = World | NaturalWorld


@dataclass(frozen=True)
class _Images:
    """Draws the images of a split; picklable."""

    world: AnyWorld
    split: str

    def __call__(self, index: int) -> Image.Image:
        return self.world.picture(self.split, index).image()


def load(
    *,
    seed: int,
    sites: int,
    images_per_site: int,
    validation_images: int,
    test_images: int,
    strength: float,
    shift: float,
    scenes: ScenesConfig | None = None,
) -> MultiLabelDataset:
    """The drawn world as a data set.

    Args:
        seed: which world.
        sites: how many sites own training images.
        images_per_site: how many images each owns.
        validation_images, test_images: of nobody's, without the sites' habits.
        strength: how often a site's habits hold in one of its images.
        shift: how far the lights corrupt all images.
        scenes: which variant, and what applies to it alone; None is the tied one.
    """
    world = world_of(seed, sites, images_per_site, strength, shift, scenes or ScenesConfig())
    counts = {"train": sites * images_per_site, "validation": validation_images, "test": test_images}
    splits = {name: _split(world, name, count) for name, count in counts.items()}
    described = {"version": VERSION, **world.described(), "counts": counts}
    fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return MultiLabelDataset("scenes", CLASSES, splits["train"], splits["validation"], splits["test"], fingerprint)


def world_of(
    seed: int, sites: int, images_per_site: int, strength: float, shift: float, scenes: ScenesConfig
) -> AnyWorld:
    """The world of some settings, for what a data set doesn't tell: habits, circumstances, boxes."""
    if scenes.variant == "natural":
        own = scenes.model_dump(exclude={"variant"})
        return NaturalWorld(seed, sites, images_per_site, strength, shift, **own)
    return World(seed, sites, images_per_site, strength, shift)


def _split(world: AnyWorld, name: str, count: int) -> Split:
    labels = np.zeros((count, len(CLASSES)), np.int8)
    column = {label: index for index, label in enumerate(CLASSES)}
    for index in range(count):
        labels[index, [column[label] for label in world.names(name, index)]] = 1
    owned = np.arange(count) // world.images_per_site if name == "train" else np.full(count, -1)
    ids = tuple(f"{name}-{index:06d}" for index in range(count))
    return Split(name, ids, labels, owned.astype(np.int64), _Images(world, name))


@cache
def _habits(seed: int, site: int) -> Habits:
    return habits(site, np.random.default_rng((seed, _STREAMS["habits"], site)))


@cache
def _at_site(seed: int, site: int, places: int, strength: float, ties: float) -> natural.Circumstances:
    return natural.at_site(natural.surroundings(site, (seed, _STREAMS["habits"]), places), strength, ties)
