"""Render a scene: place its objects, draw them from far to near, apply the light.

Boxes are (left, top, right, bottom) as fractions of the picture's side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainer.data.scenes.backgrounds import INDOORS, SCENES, Canvas
from trainer.data.scenes.light import corrupt, illuminate
from trainer.data.scenes.objects import KINDS
from trainer.data.scenes.pen import Pen
from trainer.data.scenes.rules import POSES

SIZE = 96
"""Side of a picture in pixels."""
SUPERSAMPLING = 3
ATTEMPTS = 14
"""Positions that are tried for an object before the one with the least overlap is chosen."""
OVERLAP = 0.3
"""Accepted overlap, as a fraction of the smaller box."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Spec:
    """The content of a scene, without positions.

    Attributes:
        scene, light: names of the background and the light.
        names: the classes of its objects.
        activity: of people and animals (`rules.POSES`); "" allows any pose.
    """

    scene: str
    light: str
    names: tuple[str, ...]
    activity: str = ""


@dataclass(frozen=True)
class Placed:
    """An object in a picture.

    Attributes:
        name: its class.
        box: its bounding box.
        depth: 0 far, 1 near; determines the size.
        variant: its pose, view, kind or state ("" if the class has no variants).
        colour: the name of its main colour.
    """

    name: str
    box: Box
    depth: float
    variant: str
    colour: str

    @property
    def scale(self) -> str:
        """ "small", "large", or "" for medium size."""
        return "small" if self.depth < 0.3 else "large" if self.depth > 0.72 else ""


@dataclass(frozen=True)
class Picture:
    """A rendered scene with its ground truth."""

    spec: Spec
    objects: tuple[Placed, ...]
    pixels: np.ndarray
    """(SIZE, SIZE, 3) uint8"""
    owners: np.ndarray
    """(SIZE, SIZE) uint8; the number of the visible object at each pixel, from 1; 0 for the background."""

    def image(self) -> Image.Image:
        """As a PIL image."""
        return Image.fromarray(self.pixels)


Allowed = Callable[[str, str], bool]
"""Maps (class, colour) to whether the combination is allowed."""


def render(
    spec: Spec, rng: np.random.Generator, shift: float = 0.0, allowed: Allowed = lambda name, colour: True
) -> Picture:
    """Render a scene.

    Args:
        spec: its content.
        rng: for everything else.
        shift: strength of the light's corruption, 0 to 1.
        allowed: the allowed colours of each class.
    """
    side = SIZE * SUPERSAMPLING
    canvas = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(canvas)
    horizon = SCENES[spec.scene](Canvas(draw, side), rng)
    placed = _arrange(spec, horizon, rng, allowed)
    mask = Image.new("L", (SIZE, SIZE))
    # Objects lower in the picture are nearer, and occlude those behind them.
    for index, item in sorted(enumerate(placed, 1), key=lambda pair: pair[1].box[3]):
        before = rng.bit_generator.state
        _draw(draw, side, item, rng)
        # The same random numbers give the same outline.
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
    """The first of `ATTEMPTS` positions with an accepted overlap with the taken boxes, or the one with the least."""
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
    # Indoors, things hang on walls; outdoors they mostly stand on the ground.
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
    """Area of the intersection over the area of the smaller box."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / smaller
