"""The drawn world: a multi-label image set under control, rendered when an image is asked for.

24 classes in ten scenes under five lights. Each training site has its own light, scenes and tied label pairs;
validation and test images break all of them, and both carry the corruption that the lights bring at the sites.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from trainer.data.base import MultiLabelDataset, Split
from trainer.data.scenes.compose import Picture, render
from trainer.data.scenes.cooccurrence import Habits, habits, independent_spec, site_spec
from trainer.data.scenes.objects import CLASSES

VERSION = 1
"""Raised whenever the drawing changes, so that cached features of older pictures are not taken for these."""

_STREAMS = {"train": 1, "validation": 2, "test": 3, "habits": 4}


@dataclass(frozen=True)
class World:
    """A seeded world; every picture is determined by (seed, split, index).

    Attributes: as in `trainer.config.run.DataConfig`.
    """

    seed: int
    sites: int
    images_per_site: int
    strength: float
    shift: float

    def habits(self, site: int) -> Habits:
        """What the images of a site have in common."""
        return _habits(self.seed, site)

    def site(self, index: int) -> int:
        """The owner of a training image."""
        return index // self.images_per_site

    def picture(self, split: str, index: int) -> Picture:
        """An image with the truth about it: boxes, light, scene, variants and colours."""
        rng = np.random.default_rng((self.seed, _STREAMS[split], index))
        if split == "train":
            spec = site_spec(rng, self.habits(self.site(index)), self.strength)
        else:
            spec = independent_spec(rng)
        return render(spec, rng, self.shift)

    def names(self, split: str, index: int) -> tuple[str, ...]:
        """The classes in an image, without drawing it."""
        rng = np.random.default_rng((self.seed, _STREAMS[split], index))
        if split == "train":
            return site_spec(rng, self.habits(self.site(index)), self.strength).names
        return independent_spec(rng).names


@dataclass(frozen=True)
class _Images:
    """Draws the images of a split; picklable."""

    world: World
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
) -> MultiLabelDataset:
    """The drawn world as a data set.

    Args:
        seed: which world.
        sites: how many sites own training images.
        images_per_site: how many images each owns.
        validation_images, test_images: of nobody's, with every co-occurrence broken.
        strength: how often a site's habits hold in one of its images.
        shift: how far the lights corrupt all images.
    """
    world = World(seed, sites, images_per_site, strength, shift)
    counts = {"train": sites * images_per_site, "validation": validation_images, "test": test_images}
    splits = {name: _split(world, name, count) for name, count in counts.items()}
    described = {"version": VERSION, **world.__dict__, "counts": counts}
    fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    return MultiLabelDataset("scenes", CLASSES, splits["train"], splits["validation"], splits["test"], fingerprint)


def _split(world: World, name: str, count: int) -> Split:
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
