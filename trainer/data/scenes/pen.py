"""A pen that draws flat shapes in object coordinates, and the palette.

Object coordinates: x to the right, y upwards, the ground at y = 0, in object units. The pen maps them to pixels.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

HUES: dict[str, tuple[float, float, float]] = {
    "red": (0.99, 0.82, 0.80),
    "orange": (0.075, 0.85, 0.90),
    "yellow": (0.145, 0.80, 0.92),
    "green": (0.36, 0.65, 0.58),
    "blue": (0.60, 0.75, 0.80),
    "purple": (0.78, 0.55, 0.68),
    "white": (0.10, 0.04, 0.95),
    "black": (0.60, 0.12, 0.17),
    "grey": (0.60, 0.05, 0.55),
    "brown": (0.065, 0.62, 0.45),
}
"""Hue, saturation and value by colour name."""

PAINT = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black", "grey")
FUR = ("orange", "brown", "black", "white", "grey")

BLACK: Colour = (24, 24, 30)
WHITE: Colour = (245, 245, 240)
GLASS: Colour = (150, 195, 225)
RUBBER: Colour = (36, 36, 42)
METAL: Colour = (160, 160, 168)
SKIN: tuple[Colour, ...] = ((240, 200, 165), (205, 150, 110), (130, 85, 60), (255, 220, 190))


def shade_of(name: str, rng: np.random.Generator) -> Colour:
    """A named colour with a small random variation."""
    hue, saturation, value = HUES[name]
    red, green, blue = colorsys.hsv_to_rgb(
        (hue + rng.uniform(-0.015, 0.015)) % 1,
        min(1.0, saturation * rng.uniform(0.88, 1.1)),
        min(1.0, value * rng.uniform(0.9, 1.06)),
    )
    return int(255 * red), int(255 * green), int(255 * blue)


def darker(colour: Colour, factor: float = 0.65) -> Colour:
    """The colour times a factor."""
    red, green, blue = (int(part * factor) for part in colour)
    return red, green, blue


def lighter(colour: Colour, share: float = 0.5) -> Colour:
    """The colour blended with white."""
    red, green, blue = (int(part + (255 - part) * share) for part in colour)
    return red, green, blue


class Pen:
    """Draws an object at position (x, y) of a picture.

    Args:
        draw: Pillow's drawing context.
        x, y: the object's origin, in pixels from the upper left.
        scale: pixels per object unit.
        mirrored: whether the object faces the other way.
        tilt: rotation in radians.
        shade: factor on all colours.
        ink: draw everything in this value, on a one-channel picture (for masks).
    """

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        x: float,
        y: float,
        scale: float,
        mirrored: bool = False,
        tilt: float = 0.0,
        shade: float = 1.0,
        ink: int | None = None,
    ) -> None:
        self.draw, self.x, self.y, self.scale, self.shade = draw, x, y, scale, shade
        self.ink = ink
        self.sign = -1.0 if mirrored else 1.0
        self.cosine, self.sine = math.cos(tilt) * scale, math.sin(tilt) * scale

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([self._pixel(p) for p in points], fill=self._shaded(colour))

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        """A filled rectangle."""
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour)

    def oval(self, centre: Point, rx: float, ry: float, colour: Colour, arc: tuple[float, float] = (0, 2)) -> None:
        """A filled ellipse, or its segment between two angles in units of π."""
        steps = 16
        angles = [math.pi * (arc[0] + (arc[1] - arc[0]) * i / steps) for i in range(steps + 1)]
        self.polygon([(centre[0] + rx * math.cos(a), centre[1] + ry * math.sin(a)) for a in angles], colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """A filled circle."""
        self.oval(centre, radius, radius, colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A polyline, with `width` in object units."""
        pixels = max(1, round(width * self.scale))
        self.draw.line([self._pixel(p) for p in points], fill=self._shaded(colour), width=pixels, joint="curve")

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        """A circle's outline."""
        angles = [2 * math.pi * i / 20 for i in range(21)]
        self.line([(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles], width, colour)

    def _pixel(self, point: Point) -> Point:
        u, v = point[0] * self.sign, point[1]
        return self.x + u * self.cosine - v * self.sine, self.y - (u * self.sine + v * self.cosine)

    def _shaded(self, colour: Colour) -> Colour | int:
        if self.ink is not None:
            return self.ink
        red, green, blue = (min(255, int(part * self.shade)) for part in colour)
        return red, green, blue
