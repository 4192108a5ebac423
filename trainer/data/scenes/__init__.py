"""The drawn world: a synthetic multi-label data set whose images are rendered on demand.

24 classes in ten scenes under five lights, in two variants. Tied: each training site has its own light, scenes and
spurious label pairs ("tied" pairs), none of which hold in validation and test images. Natural: place, light and
activity determine how likely each label is (rules.py); the sites see some of the places, test images show all. In both
variants the corruption that comes with each light applies to all images.
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
"""Incremented whenever the rendering changes; part of the fingerprint, so that cached features become invalid."""

_STREAMS = {"train": 1, "validation": 2, "test": 3, "habits": 4}


@dataclass(frozen=True)
class _Drawn(ABC):
    """A seeded world, in which every image is determined by (seed, split, index).

    Attributes: see `trainer.config.data.DataConfig`.
    """

    seed: int
    sites: int
    images_per_site: int
    strength: float
    shift: float

    @abstractmethod
    def spec(self, rng: np.random.Generator, split: str, index: int) -> Spec:
        """Sample the content of an image, with the first random numbers of its generator."""

    def described(self) -> dict[str, Any]:
        """Everything except VERSION that determines the images; part of the fingerprint."""
        return dict(self.__dict__)

    def site(self, index: int) -> int:
        """The site that owns a training image."""
        return index // self.images_per_site

    def picture(self, split: str, index: int) -> Picture:
        """Render an image, with its ground truth: boxes, light, scene, variants and colours."""
        rng = self.generator(split, index)
        return render(self.spec(rng, split, index), rng, self.shift)

    def names(self, split: str, index: int) -> tuple[str, ...]:
        """The classes in an image, without rendering it."""
        return self.spec(self.generator(split, index), split, index).names

    def generator(self, split: str, index: int) -> np.random.Generator:
        """The generator of an image: first its content, then its appearance is sampled."""
        return np.random.default_rng((self.seed, _STREAMS[split], index))


class World(_Drawn):
    """The tied variant: a site's labels come in pairs; in validation and test images all labels are independent."""

    def habits(self, site: int) -> Habits:
        """See `Habits`."""
        return _habits(self.seed, site)

    def spec(self, rng: np.random.Generator, split: str, index: int) -> Spec:
        """By the site's habits in training images; otherwise independent."""
        if split == "train":
            return site_spec(rng, self.habits(self.site(index)), self.strength)
        return independent_spec(rng)


@dataclass(frozen=True)
class NaturalWorld(_Drawn):
    """The natural variant: conditions cause labels.

    Attributes: see `trainer.config.data.ScenesConfig`.
    """

    places: int = ScenesConfig().places
    unusual: float = ScenesConfig().unusual
    ties: float = ScenesConfig().ties

    def circumstances(self, site: int | None) -> natural.Circumstances:
        """The circumstances of a site's images; None: of validation and test images."""
        if site is None:
            return natural.everywhere(self.unusual)
        return _at_site(self.seed, site, self.places, self.strength, self.ties)

    def described(self) -> dict[str, Any]:
        """Includes the version of the rules."""
        return {**super().described(), "variant": "natural", "rules": natural.RULES_VERSION}

    def spec(self, rng: np.random.Generator, split: str, index: int) -> Spec:
        """By the rules."""
        return self.circumstances(self.site(index) if split == "train" else None).draw(rng)


AnyWorld = World | NaturalWorld


@dataclass(frozen=True)
class _Images:
    """Renders the images of a split; picklable."""

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
        seed: of the world.
        sites: number of sites.
        images_per_site: training images per site.
        validation_images, test_images: numbers of images that no site owns and no site's habits affect.
        strength: probability that an image of a site follows its habits.
        shift: strength of the corruption by the lights.
        scenes: the variant and its settings; None: the tied variant.
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
    """The world itself, which gives access to what a data set does not contain: habits, circumstances, boxes."""
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
