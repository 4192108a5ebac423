"""The backgrounds of the ten scenes. Each painter returns the height of the horizon (0 top, 1 bottom)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from trainer.data.scenes.pen import Colour, Point, darker, lighter

Painter = Callable[["Canvas", np.random.Generator], float]


class Canvas:
    """Draws in picture coordinates: x to the right, y downwards, both from 0 to 1."""

    def __init__(self, draw: ImageDraw.ImageDraw, size: int) -> None:
        self.draw, self.size = draw, size

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon([(x * self.size, y * self.size) for x, y in points], fill=colour)

    def oval(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled ellipse in a box."""
        s = self.size
        self.draw.ellipse([left * s, top * s, right * s, bottom * s], fill=colour)


def vary(rng: np.random.Generator, colour: Colour, by: float = 14) -> Colour:
    """The colour with each channel randomly changed by up to `by`."""
    red, green, blue = (int(min(255, max(0, part + rng.uniform(-by, by)))) for part in colour)
    return red, green, blue


def _sky(canvas: Canvas, rng: np.random.Generator, colour: Colour = (150, 200, 240)) -> float:
    horizon = float(rng.uniform(0.38, 0.52))
    sky = vary(rng, colour, 12)
    canvas.box(0, 0, 1, horizon, sky)
    for _ in range(rng.integers(0, 4)):
        x, y, w = rng.uniform(0, 1), rng.uniform(0.02, 0.22), rng.uniform(0.08, 0.16)
        canvas.oval(x - w, y - 0.025, x + w, y + 0.035, lighter(sky, 0.6))
    return horizon


def _room(canvas: Canvas, rng: np.random.Generator, paint: Colour, floor: Colour) -> tuple[float, Colour]:
    horizon = float(rng.uniform(0.6, 0.7))
    paint, floor = vary(rng, paint, 18), vary(rng, floor)
    canvas.box(0, 0, 1, horizon, paint)
    canvas.box(0, horizon, 1, 1, floor)
    canvas.box(0, horizon - 0.015, 1, horizon, darker(paint, 0.7))
    return horizon, floor


def street(canvas: Canvas, rng: np.random.Generator) -> float:
    """Houses, a pavement and a road."""
    h = _sky(canvas, rng)
    x = 0.0
    while x < 1:
        width, top, paint = rng.uniform(0.12, 0.25), rng.uniform(0.05, h - 0.12), vary(rng, (150, 125, 115), 35)
        canvas.box(x, top, x + width, h, paint)
        for column in (0.18, 0.6):
            for row in range(int((h - top) / 0.09)):
                y = top + 0.03 + 0.09 * row
                canvas.box(x + width * column, y, x + width * (column + 0.22), y + 0.045, lighter(paint))
        x += width
    canvas.box(0, h, 1, h + 0.09, vary(rng, (165, 165, 160), 8))
    canvas.box(0, h + 0.09, 1, 1, vary(rng, (88, 88, 94), 10))
    y = h + 0.09 + (0.91 - h) / 2
    for i in range(5):
        canvas.box(i * 0.24, y, i * 0.24 + 0.12, y + 0.018, (225, 225, 215))
    return h


def farm(canvas: Canvas, rng: np.random.Generator) -> float:
    """A red barn behind a fence."""
    h = _sky(canvas, rng)
    canvas.box(0, h, 1, 1, vary(rng, (150, 175, 80)))
    x = rng.uniform(0.05, 0.7)
    canvas.box(x, h - 0.2, x + 0.22, h, vary(rng, (160, 50, 45)))
    canvas.polygon([(x - 0.02, h - 0.2), (x + 0.11, h - 0.32), (x + 0.24, h - 0.2)], (95, 60, 50))
    canvas.box(x + 0.08, h - 0.11, x + 0.15, h, (235, 230, 220))
    for i in range(9):
        canvas.box(i * 0.125, h - 0.05, i * 0.125 + 0.018, h + 0.05, (130, 95, 60))
    for y in (h - 0.03, h + 0.01):
        canvas.box(0, y, 1, y + 0.015, (130, 95, 60))
    return h


def living_room(canvas: Canvas, rng: np.random.Generator) -> float:
    """A window and a rug."""
    h, _ = _room(canvas, rng, (225, 205, 175), (165, 115, 75))
    x = rng.uniform(0.1, 0.6)
    canvas.box(x, 0.06, x + 0.28, 0.34, (250, 250, 245))
    canvas.box(x + 0.02, 0.08, x + 0.26, 0.32, (160, 205, 235))
    canvas.box(x + 0.13, 0.08, x + 0.15, 0.32, (250, 250, 245))
    canvas.oval(0.15, h + 0.1, 0.9, h + 0.3, vary(rng, (150, 60, 70), 25))
    return h


def kitchen(canvas: Canvas, rng: np.random.Generator) -> float:
    """Cupboards and a tiled floor."""
    h, floor = _room(canvas, rng, (235, 235, 225), (190, 190, 185))
    canvas.box(0, 0, 1, 0.14, vary(rng, (170, 120, 80)))
    for i in range(4):
        canvas.box(i * 0.25 + 0.005, 0.01, i * 0.25 + 0.24, 0.13, vary(rng, (185, 135, 95), 4))
    for i in range(9):
        canvas.polygon(
            [(i / 8, h), (i / 8 + 0.01, h), (i / 8 + (i - 4) * 0.05 + 0.01, 1), (i / 8 + (i - 4) * 0.05, 1)],
            darker(floor, 0.85),
        )
    for y in (h + 0.05, h + 0.15, h + 0.26):
        canvas.box(0, y, 1, y + 0.01, darker(floor, 0.85))
    return h


def office(canvas: Canvas, rng: np.random.Generator) -> float:
    """A row of windows over a carpet."""
    h, floor = _room(canvas, rng, (200, 210, 220), (120, 125, 140))
    for i in range(5):
        canvas.box(i * 0.22 + 0.01, 0.04, i * 0.22 + 0.2, 0.3, (175, 210, 230))
    for i in range(1, 4):
        canvas.box(0, h + 0.1 * i, 1, h + 0.1 * i + 0.008, darker(floor, 0.88))
    return h


def harbour(canvas: Canvas, rng: np.random.Generator) -> float:
    """A lighthouse, water and a wooden pier."""
    h = _sky(canvas, rng)
    water = vary(rng, (55, 120, 170))
    canvas.box(0, h, 1, 0.8, water)
    for _ in range(10):
        x, y = rng.uniform(0, 0.9), rng.uniform(h + 0.02, 0.78)
        canvas.box(x, y, x + 0.1, y + 0.01, lighter(water, 0.35))
    canvas.box(0, 0.8, 1, 1, vary(rng, (150, 115, 80)))
    for i in range(8):
        canvas.box(i * 0.14, 0.8, i * 0.14 + 0.008, 1, (95, 70, 50))
    x = rng.uniform(0.1, 0.8)
    canvas.polygon([(x, h), (x + 0.015, h - 0.22), (x + 0.055, h - 0.22), (x + 0.07, h)], (240, 240, 240))
    canvas.box(x + 0.015, h - 0.25, x + 0.055, h - 0.2, (200, 50, 50))
    return h


def airport(canvas: Canvas, rng: np.random.Generator) -> float:
    """A terminal, a control tower and a runway."""
    h = _sky(canvas, rng)
    canvas.box(0, h - 0.1, 1, h, vary(rng, (185, 190, 200)))
    for i in range(9):
        canvas.box(i * 0.11 + 0.01, h - 0.08, i * 0.11 + 0.09, h - 0.03, (110, 150, 180))
    x = rng.uniform(0.1, 0.8)
    canvas.box(x, h - 0.3, x + 0.05, h, (205, 205, 210))
    canvas.box(x - 0.03, h - 0.36, x + 0.08, h - 0.28, (90, 130, 160))
    canvas.box(0, h, 1, h + 0.08, vary(rng, (140, 165, 95)))
    canvas.box(0, h + 0.08, 1, 1, vary(rng, (125, 125, 130), 8))
    canvas.polygon([(0.47, h + 0.08), (0.53, h + 0.08), (0.6, 1), (0.4, 1)], (215, 215, 210))
    return h


def park(canvas: Canvas, rng: np.random.Generator) -> float:
    """Trees and a winding path."""
    h = _sky(canvas, rng)
    canvas.box(0, h, 1, 1, vary(rng, (105, 170, 85), 12))
    for _ in range(5):
        x, s = rng.uniform(0, 1), rng.uniform(0.08, 0.15)
        canvas.box(x - 0.015, h - 0.12, x + 0.015, h + 0.03, (110, 75, 50))
        canvas.oval(x - s, h - 0.12 - s * 1.3, x + s, h - 0.12 + s * 0.5, vary(rng, (60, 130, 65), 18))
    path = [(rng.uniform(0.3, 0.5), h), (rng.uniform(0.5, 0.6), h), (0.95, 1.0), (0.35, 1.0)]
    canvas.polygon(path, vary(rng, (205, 185, 145), 8))
    return h


def railway_station(canvas: Canvas, rng: np.random.Generator) -> float:
    """A roof on pillars, rails, a platform with a yellow line."""
    h = _sky(canvas, rng)
    canvas.box(0, 0, 1, 0.12, vary(rng, (120, 70, 60)))
    canvas.box(0, h - 0.12, 1, h, vary(rng, (175, 150, 130)))
    for x in (0.12, 0.5, 0.86):
        canvas.box(x, 0.12, x + 0.03, h + 0.1, (95, 100, 105))
    canvas.box(0, h, 1, h + 0.2, vary(rng, (120, 110, 100)))
    for i in range(12):
        canvas.box(i * 0.09, h + 0.05, i * 0.09 + 0.03, h + 0.17, (85, 65, 50))
    for y in (h + 0.07, h + 0.14):
        canvas.box(0, y, 1, y + 0.015, (185, 185, 190))
    canvas.box(0, h + 0.2, 1, 1, vary(rng, (170, 168, 165), 8))
    canvas.box(0, h + 0.21, 1, h + 0.235, (235, 205, 70))
    return h


def snowy_field(canvas: Canvas, rng: np.random.Generator) -> float:
    """Mountains, firs and snow."""
    h = _sky(canvas, rng, (205, 215, 225))
    ridge = [(0, h), (0.25, h - 0.2), (0.5, h - 0.03), (0.75, h - 0.24), (1, h)]
    canvas.polygon(ridge, vary(rng, (160, 175, 195)))
    canvas.box(0, h, 1, 1, vary(rng, (238, 242, 248), 5))
    for _ in range(4):
        x = rng.uniform(0, 1)
        canvas.polygon([(x - 0.07, h + 0.02), (x, h - 0.2), (x + 0.07, h + 0.02)], vary(rng, (60, 95, 80)))
    return h


SCENES: dict[str, Painter] = {
    "street": street,
    "farm": farm,
    "living room": living_room,
    "kitchen": kitchen,
    "harbour": harbour,
    "airport": airport,
    "park": park,
    "railway station": railway_station,
    "snowy field": snowy_field,
    "office": office,
}
INDOORS = frozenset({"living room", "kitchen", "office"})
