"""Broad scenes with ground truth as arrays. Shape letters: n images, K maximum objects per image, C classes."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from trainer.data.scenes.backgrounds import SCENES
from trainer.data.scenes.compose import Picture, render
from trainer.data.scenes.cooccurrence import HeldOut, broad_spec
from trainer.data.scenes.light import LIGHTS
from trainer.data.scenes.objects import CLASSES
from trainer.pretraining.words import COLOURS, SCALES, VARIANTS

MAX_OBJECTS = 6
"""K."""
NONE_HELD_OUT = HeldOut(frozenset(), frozenset())


@dataclass(frozen=True)
class Pictures:
    """n broad scenes.

    Attributes:
        pixels: (n, size, size, 3) uint8.
        boxes: (n, K, 4) float32, fractions of the picture's side; 0 for missing objects.
        objects: (n, K, 4) int16: class, colour, variant, scale; -1 for missing objects.
        scene, light: (n,) int64.
        captioned: the pictures without pixels, for captions.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    objects: np.ndarray
    scene: np.ndarray
    light: np.ndarray
    captioned: tuple[Picture, ...]

    def labels(self) -> np.ndarray:
        """(n, C) int8 label matrix."""
        found = np.zeros((len(self.pixels), len(CLASSES)), np.int8)
        rows, slots = np.nonzero(self.objects[..., 0] >= 0)
        found[rows, self.objects[rows, slots, 0]] = 1
        return found


def broad(count: int, seed: int, size: int, without: HeldOut = NONE_HELD_OUT) -> Pictures:
    """Render broad, uncorrelated scenes in parallel.

    Args:
        count: n.
        seed: image i is determined by (seed, i).
        size: side in pixels, as the tower sees it.
        without: combinations to exclude.
    """
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        made = list(pool.map(partial(_one, seed, size, without), range(count), chunksize=64))
    boxes = np.zeros((count, MAX_OBJECTS, 4), np.float32)
    objects = np.full((count, MAX_OBJECTS, 4), -1, np.int16)
    for i, picture in enumerate(made):
        for k, item in enumerate(picture.objects):
            boxes[i, k] = item.box
            objects[i, k] = (
                CLASSES.index(item.name),
                COLOURS.index(item.colour),
                VARIANTS.index(item.variant) if item.variant else -1,
                SCALES.index(item.scale) if item.scale else -1,
            )
    return Pictures(
        pixels=np.stack([picture.pixels for picture in made]),
        boxes=boxes,
        objects=objects,
        scene=np.array([tuple(SCENES).index(p.spec.scene) for p in made]),
        light=np.array([LIGHTS.index(p.spec.light) for p in made]),
        captioned=tuple(Picture(p.spec, p.objects, np.empty(0), np.empty(0)) for p in made),
    )


def _one(seed: int, size: int, without: HeldOut, index: int) -> Picture:
    rng = np.random.default_rng((seed, index))
    picture = render(broad_spec(rng, without), rng, allowed=without.colour_allowed)
    small = picture.image().resize((size, size), Image.Resampling.BICUBIC)
    return Picture(picture.spec, picture.objects, np.asarray(small), picture.owners)
