"""From what a scene holds to its picture: place the objects, draw them far to near, light it.

Boxes are (left, top, right, bottom) in shares of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainer.data.scenes.backgrounds import INDOORS, SCENES, Wall
from trainer.data.scenes.light import corrupt, illuminate
from trainer.data.scenes.objects import KINDS
from trainer.data.scenes.pen import Pen
from trainer.data.scenes.rules import POSES

SIZE = 96
"""Pixels of a picture's side."""
SUPERSAMPLING = 3
ATTEMPTS = 14
"""Places that are tried for an object before the one with the least overlap is taken."""
OVERLAP = 0.3
"""Share of the smaller box that another may cover without a further try."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Spec:
    """What a scene holds, before anything is placed.

    Attributes:
        scene, light: where and when.
        names: the classes of its objects.
        activity: what people and animals do (`rules.POSES`); "" leaves each of them any pose.
    """

    scene: str
    light: str
    names: tuple[str, ...]
    activity: str = ""


@dataclass(frozen=True)
class Placed:
    """An object in the picture.

    Attributes:
        name: its class.
        box: where it is.
        depth: 0 far, 1 near; it decides the size.
        variant: its pose, view, kind or state ("" where the class has one look).
        colour: its main colour's name.
    """

    name: str
    box: Box
    depth: float
    variant: str
    colour: str

    @property
    def scale(self) -> str:
        """ "small", "large" or "" for a middling size."""
        return "small" if self.depth < 0.3 else "large" if self.depth > 0.72 else ""


@dataclass(frozen=True)
class Picture:
    """A drawn scene with the truth about it."""

    spec: Spec
    objects: tuple[Placed, ...]
    pixels: np.ndarray
    """(SIZE, SIZE, 3) uint8"""
    owners: np.ndarray
    """(SIZE, SIZE) uint8; which object is seen at a pixel, counted from 1; 0 the scene itself."""

    def image(self) -> Image.Image:
        """For Pillow."""
        return Image.fromarray(self.pixels)


Allowed = Callable[[str, str], bool]
"""Whether a class may have a colour."""


def render(
    spec: Spec, rng: np.random.Generator, shift: float = 0.0, allowed: Allowed = lambda name, colour: True
) -> Picture:
    """Draw a scene.

    Args:
        spec: what it holds.
        rng: decides everything else.
        shift: how far the light's corruption goes, 0 to 1.
        allowed: which colours a class may have.
    """
    side = SIZE * SUPERSAMPLING
    canvas = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(canvas)
    horizon = SCENES[spec.scene](Wall(draw, side), rng)
    placed = _arrange(spec, horizon, rng, allowed)
    mask = Image.new("L", (SIZE, SIZE))
    # What stands lower in the picture is nearer and covers what is behind it.
    for index, item in sorted(enumerate(placed, 1), key=lambda pair: pair[1].box[3]):
        before = rng.bit_generator.state
        _draw(draw, side, item, rng)
        # The same draws again give the same outline.
        rng.bit_generator.state = before
        _draw(ImageDraw.Draw(mask), SIZE, item, rng, ink=index)
    pixels = np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float32)
    pixels = corrupt(illuminate(pixels, spec.light, rng), spec.light, shift, rng)
    return Picture(spec, tuple(placed), pixels.astype(np.uint8), np.asarray(mask))


def _arrange(spec: Spec, horizon: float, rng: np.random.Generator, allowed: Allowed) -> list[Placed]:
    placed: list[Placed] = []
    for name in spec.names:
        box, depth = _free_place(name, spec.scene, horizon, [other.box for other in placed], rng)
        kind = KINDS[name]
        colours = [colour for colour in kind.colours if allowed(name, colour)]
        variants = POSES.get(spec.activity, {}).get(name, kind.variants)
        variant = variants[rng.integers(len(variants))]
        placed.append(Placed(name, box, depth, variant, colours[rng.integers(len(colours))]))
    return placed


def _free_place(name: str, scene: str, horizon: float, taken: list[Box], rng: np.random.Generator) -> tuple[Box, float]:
    """The first place that overlaps the taken boxes little, else the least overlapping one of `ATTEMPTS`."""
    tried: list[tuple[float, Box, float]] = []
    for _ in range(ATTEMPTS):
        box, depth = _place(name, scene, horizon, rng)
        tried.append((max((_overlap(box, other) for other in taken), default=0.0), box, depth))
        if tried[-1][0] < OVERLAP:
            break
    _, box, depth = min(tried, key=lambda one: one[0])
    return box, depth


def _place(name: str, scene: str, horizon: float, rng: np.random.Generator) -> tuple[Box, float]:
    kind = KINDS[name]
    depth = float(rng.uniform(0, 1))
    scale = kind.unit * (0.64 + 0.66 * depth)
    width, height = kind.half_width * scale, kind.height * scale
    ground = horizon + 0.06 + (0.92 - horizon) * depth
    # On the wall things hang indoors; outdoors they more often stand.
    aloft = kind.aloft if scene in INDOORS or name in ("aeroplane", "bird") else 0.4 * kind.aloft
    if rng.random() < aloft:
        ground = max(float(rng.uniform(0.06, horizon)) + height / 2, height + 0.01)
    x = float(rng.uniform(min(0.5, width * 0.85), max(0.5, 1 - width * 0.85)))
    return (x - width, ground - height, x + width, ground), depth


def _draw(draw: ImageDraw.ImageDraw, side: int, item: Placed, rng: np.random.Generator, ink: int | None = None) -> None:
    left, top, right, bottom = item.box
    kind = KINDS[item.name]
    tilt = 0.25 if item.name == "aeroplane" else 0.06
    pen = Pen(
        draw,
        x=(left + right) / 2 * side,
        y=bottom * side,
        scale=(bottom - top) / kind.height * side,
        mirrored=bool(rng.random() < 0.5),
        tilt=float(rng.uniform(-tilt, tilt)),
        shade=float(rng.uniform(0.87, 1.08)),
        ink=ink,
    )
    kind.draw(pen, rng, item.variant, item.colour)


def _overlap(a: Box, b: Box) -> float:
    """Shared area over the smaller box's area."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / smaller
