"""Drawing vehicles. Each function draws one object in a view or kind and a main colour."""

from __future__ import annotations

import math

import numpy as np

from trainer.data.scenes.pen import BLACK, GLASS, METAL, RUBBER, WHITE, Pen, darker, lighter, shade_of

LAMP = (255, 240, 165)


def aeroplane(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """From the side: a tube with swept wings and a tail fin."""
    paint = shade_of(colour, rng)
    pen.polygon([(-0.95, 0.55), (-1.28, 1.15), (-1.02, 1.15), (-0.58, 0.66)], darker(paint, 0.7))
    pen.polygon([(-1.2, 0.48), (0.95, 0.42), (1.2, 0.55), (1.0, 0.7), (-1.15, 0.68)], paint)
    pen.oval((1.0, 0.56), 0.26, 0.14, paint)
    pen.polygon([(-0.05, 0.52), (0.38, 0.52), (-0.32, -0.08), (-0.58, -0.08)], darker(paint, 0.68))
    pen.polygon([(0.05, 0.66), (0.34, 0.66), (-0.1, 1.02), (-0.26, 1.02)], darker(paint, 0.82))
    pen.oval((-0.05, 0.28), 0.16, 0.08, (90, 90, 96))
    for i in range(6):
        pen.disc((-0.65 + i * 0.26, 0.6), 0.045, (70, 110, 150))


def bicycle(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """From the side: two spoked wheels and a diamond frame."""
    frame = shade_of(colour, rng)
    for x in (-0.62, 0.62):
        pen.ring((x, 0.4), 0.38, 0.07, RUBBER)
        for i in range(4):
            c, s = 0.36 * math.cos(i * math.pi / 4), 0.36 * math.sin(i * math.pi / 4)
            pen.line([(x - c, 0.4 - s), (x + c, 0.4 + s)], 0.015, METAL)
    pen.line([(-0.62, 0.4), (-0.28, 0.95), (0.42, 0.98), (-0.02, 0.4), (-0.62, 0.4)], 0.09, frame)
    pen.line([(-0.02, 0.4), (-0.32, 1.08)], 0.08, frame)
    pen.line([(0.62, 0.4), (0.4, 1.2), (0.62, 1.25)], 0.07, darker(frame))
    pen.line([(-0.5, 1.1), (-0.16, 1.1)], 0.12, BLACK)


def boat(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """A sailing boat or a motor boat."""
    hull = shade_of(colour, rng)
    pen.polygon([(-0.95, 0.36), (0.95, 0.36), (0.68, 0), (-0.7, 0)], hull)
    pen.box(-0.92, 0.3, 0.92, 0.37, lighter(hull, 0.6))
    if variant == "sailing":
        sail = shade_of(("white", "red", "yellow", "orange")[rng.integers(4)], rng)
        pen.line([(0, 0.3), (0, 1.75)], 0.06, (110, 75, 45))
        pen.polygon([(0.06, 1.7), (0.06, 0.5), (0.82, 0.5)], sail)
        pen.polygon([(-0.06, 1.5), (-0.06, 0.5), (-0.62, 0.5)], darker(sail, 0.88))
        return
    pen.polygon([(-0.6, 0.36), (-0.55, 0.82), (0.15, 0.82), (0.36, 0.36)], WHITE)
    pen.box(-0.48, 0.5, -0.22, 0.72, GLASS)
    pen.box(-0.14, 0.5, 0.12, 0.72, GLASS)
    pen.box(-0.45, 0.82, -0.25, 1.08, darker(hull))


def bus(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """From the side or the front."""
    paint = shade_of(colour, rng)
    if variant == "side":
        pen.box(-1.3, 0.22, 1.3, 1.38, paint)
        pen.box(-1.3, 0.5, 1.3, 0.58, lighter(paint, 0.6))
        for i in range(5):
            pen.box(-1.2 + i * 0.44, 0.72, -0.86 + i * 0.44, 1.2, GLASS)
        pen.box(1.0, 0.3, 1.22, 1.2, lighter(GLASS, 0.3))
        for x in (-0.8, 0.75):
            _wheel(pen, x, 0.24)
        return
    pen.box(-0.62, 0.15, 0.62, 1.55, paint)
    pen.box(-0.53, 0.72, 0.53, 1.25, GLASS)
    pen.box(-0.42, 1.32, 0.42, 1.48, (250, 220, 90))
    pen.box(-0.62, 0.3, 0.62, 0.37, darker(paint))
    for x in (-0.45, 0.45):
        pen.disc((x, 0.52), 0.09, LAMP)
        pen.box(x - 0.12, 0, x + 0.12, 0.17, RUBBER)
    for side in (-1, 1):
        pen.box(side * 0.7 - 0.06, 0.8, side * 0.7 + 0.06, 1.12, BLACK)


def car(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """From the side or the front."""
    paint = shade_of(colour, rng)
    if variant == "side":
        pen.polygon([(-0.95, 0.2), (0.95, 0.2), (0.97, 0.5), (-0.97, 0.5)], paint)
        pen.polygon([(-0.97, 0.5), (-0.68, 0.56), (-0.4, 0.9), (0.32, 0.9), (0.6, 0.56), (0.97, 0.5)], paint)
        pen.polygon([(-0.52, 0.56), (-0.34, 0.82), (-0.05, 0.82), (-0.05, 0.56)], GLASS)
        pen.polygon([(0.03, 0.56), (0.03, 0.82), (0.28, 0.82), (0.48, 0.56)], GLASS)
        for x in (-0.55, 0.55):
            _wheel(pen, x, 0.21)
        pen.disc((0.92, 0.44), 0.06, LAMP)
        return
    pen.polygon([(-0.62, 0.15), (0.62, 0.15), (0.62, 0.54), (-0.62, 0.54)], paint)
    pen.polygon([(-0.46, 0.54), (0.46, 0.54), (0.33, 0.94), (-0.33, 0.94)], paint)
    pen.polygon([(-0.37, 0.6), (0.37, 0.6), (0.28, 0.87), (-0.28, 0.87)], GLASS)
    for x in (-0.46, 0.46):
        pen.oval((x, 0.42), 0.1, 0.08, LAMP)
        pen.box(x - 0.12, 0, x + 0.12, 0.17, RUBBER)
    pen.box(-0.25, 0.3, 0.25, 0.44, BLACK)


def motorbike(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """From the side: fat wheels, an engine block, a coloured tank."""
    paint = shade_of(colour, rng)
    for x in (-0.66, 0.66):
        _wheel(pen, x, 0.33)
    pen.line([(0.66, 0.33), (0.42, 1.0), (0.2, 1.14)], 0.09, METAL)
    pen.polygon([(-0.35, 0.3), (0.3, 0.3), (0.35, 0.6), (-0.3, 0.6)], (90, 90, 96))
    pen.polygon([(-0.2, 0.58), (0.42, 0.62), (0.38, 0.94), (0.05, 0.96)], paint)
    pen.polygon([(-0.95, 0.66), (-0.2, 0.56), (-0.05, 0.76), (-0.4, 0.8), (-0.95, 0.88)], BLACK)
    pen.polygon([(-1.0, 0.6), (-0.5, 0.68), (-0.5, 0.54)], paint)
    pen.line([(-0.98, 0.22), (0, 0.24)], 0.1, (195, 195, 200))
    pen.disc((0.53, 0.9), 0.13, LAMP)


def train(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """A carriage with a slanted nose on a rail, or its front on two rails."""
    paint = shade_of(colour, rng)
    stripe = (205, 50, 50) if colour == "white" else WHITE
    if variant == "side":
        pen.box(-1.7, -0.02, 1.7, 0.05, (110, 100, 95))
        pen.polygon([(-1.6, 0.2), (1.6, 0.2), (1.5, 0.62), (1.1, 1.05), (-1.6, 1.05)], paint)
        pen.box(-1.6, 0.36, 1.45, 0.45, stripe)
        for i in range(5):
            pen.box(-1.48 + i * 0.48, 0.6, -1.14 + i * 0.48, 0.92, GLASS)
        pen.polygon([(1.05, 0.62), (1.42, 0.62), (1.1, 0.97), (1.0, 0.97)], (60, 90, 120))
        for x in (-1.3, -0.9, 0.5, 0.9):
            pen.disc((x, 0.16), 0.13, RUBBER)
        return
    for side in (-1, 1):
        pen.line([(side * 0.8, -0.1), (side * 0.3, 0.2)], 0.07, (110, 100, 95))
    pen.polygon(
        [(-0.5, 0.12), (0.5, 0.12), (0.56, 0.9), (0.36, 1.48), (-0.36, 1.48), (-0.56, 0.9)],
        paint,
    )
    pen.polygon([(-0.42, 0.9), (0.42, 0.9), (0.28, 1.34), (-0.28, 1.34)], (60, 90, 120))
    pen.polygon([(-0.5, 0.12), (0.5, 0.12), (0, 0.55)], (250, 210, 60))
    for side in (-1, 1):
        pen.disc((side * 0.36, 0.68), 0.09, LAMP)


def _wheel(pen: Pen, x: float, radius: float) -> None:
    pen.disc((x, radius), radius, RUBBER)
    pen.disc((x, radius), radius * 0.45, METAL)
