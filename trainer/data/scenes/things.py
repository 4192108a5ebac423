"""Drawing furniture and small objects. Each function draws one object in a kind and a main colour."""

from __future__ import annotations

import math

import numpy as np

from trainer.data.scenes.pen import BLACK, WHITE, Pen, darker, lighter, shade_of

WOOD = (90, 65, 45)


def bottle(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """A labelled bottle with a long neck."""
    glass = shade_of(colour, rng)
    pen.box(-0.27, 0, 0.27, 0.9, glass)
    pen.oval((0, 0.9), 0.27, 0.22, glass)
    pen.box(-0.1, 1.0, 0.1, 1.42, glass)
    pen.box(-0.13, 1.38, 0.13, 1.52, darker(glass, 0.5))
    pen.box(-0.27, 0.3, 0.27, 0.66, (210, 60, 50) if colour == "white" else lighter(glass, 0.75))
    pen.box(-0.2, 0.08, -0.12, 0.85, lighter(glass))


def chair(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """From the side or the front."""
    wood = shade_of(colour, rng)
    if variant == "side":
        for x in (-0.38, 0.3):
            pen.box(x, 0, x + 0.1, 0.6, darker(wood, 0.75))
        pen.box(-0.42, 0.55, 0.46, 0.7, wood)
        pen.polygon([(-0.42, 0.6), (-0.26, 0.6), (-0.38, 1.5), (-0.54, 1.5)], wood)
        return
    pen.box(-0.42, 0.6, 0.42, 1.5, darker(wood, 0.85))
    for x in (-0.2, 0.06):
        pen.box(x, 0.8, x + 0.14, 1.36, darker(wood, 0.5))
    for x in (-0.44, 0.34):
        pen.box(x, 0, x + 0.1, 0.6, darker(wood, 0.75))
    pen.polygon([(-0.52, 0.5), (0.52, 0.5), (0.42, 0.72), (-0.42, 0.72)], wood)


def dining_table(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """Square on four legs, or round on one foot."""
    wood = shade_of(colour, rng)
    if variant == "square":
        for x, bottom, shade in ((-1.0, 0.0, 0.75), (0.88, 0.0, 0.75), (-0.72, 0.18, 0.55), (0.62, 0.18, 0.55)):
            pen.box(x, bottom, x + 0.12, 0.75, darker(wood, shade))
        pen.polygon([(-1.2, 0.72), (1.2, 0.72), (0.9, 1.0), (-0.9, 1.0)], wood)
        pen.box(-1.2, 0.63, 1.2, 0.73, darker(wood, 0.8))
        return
    pen.box(-0.08, 0.05, 0.08, 0.72, darker(wood, 0.7))
    pen.oval((0, 0.06), 0.44, 0.08, darker(wood, 0.6))
    pen.oval((0, 0.76), 1.12, 0.2, darker(wood, 0.8))
    pen.oval((0, 0.83), 1.12, 0.2, wood)


def potted_plant(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """Leafy or flowering; the pot has the colour."""
    pot, leaf = shade_of(colour, rng), shade_of("green", rng)
    petals = ((230, 70, 90), (250, 200, 60), (240, 130, 190))
    for i in range(7):
        angle = math.pi * (0.12 + 0.76 * i / 6) + rng.uniform(-0.08, 0.08)
        length = rng.uniform(0.62, 0.88)
        tip = (length * math.cos(angle), 0.55 + length * math.sin(angle))
        middle = (tip[0] * 0.55, 0.55 + (tip[1] - 0.55) * 0.55)
        across = (-0.14 * math.sin(angle), 0.14 * math.cos(angle))
        pen.polygon(
            [
                (0, 0.5),
                (middle[0] + across[0], middle[1] + across[1]),
                tip,
                (middle[0] - across[0], middle[1] - across[1]),
            ],
            darker(leaf, 0.8 + 0.06 * (i % 4)),
        )
        if variant == "flowering" and i % 2 == 0:
            pen.disc(tip, 0.14, petals[i // 2 % 3])
    pen.polygon([(-0.27, 0), (0.27, 0), (0.37, 0.5), (-0.37, 0.5)], pot)
    pen.box(-0.41, 0.45, 0.41, 0.58, darker(pot, 0.85))


def sofa(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """Two cushions, a back and arms."""
    cloth = shade_of(colour, rng)
    pen.box(-1.15, 0.35, 1.15, 1.0, cloth)
    pen.oval((0, 1.0), 1.1, 0.1, cloth)
    pen.box(-1.1, 0.08, 1.1, 0.28, darker(cloth, 0.78))
    for left, right in ((-1.05, -0.03), (0.03, 1.05)):
        pen.box(left, 0.25, right, 0.53, lighter(cloth, 0.25))
    for side in (-1, 1):
        pen.box(side * 1.18 - 0.16, 0.08, side * 1.18 + 0.16, 0.68, darker(cloth, 0.85))
        pen.oval((side * 1.18, 0.68), 0.17, 0.12, darker(cloth, 0.85))
        pen.box(side * 1.05 - 0.05, 0, side * 1.05 + 0.05, 0.1, WOOD)
    pen.line([(0, 0.55), (0, 0.96)], 0.03, darker(cloth, 0.65))


def tv_monitor(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """A flat screen on a foot, on or off; the picture has the colour when it is on."""
    pen.box(-0.45, 0, 0.45, 0.08, (70, 70, 76))
    pen.box(-0.07, 0.05, 0.07, 0.25, (70, 70, 76))
    pen.box(-0.86, 0.22, 0.86, 1.27, (28, 28, 32))
    if variant == "on":
        picture = shade_of(colour, rng)
        pen.box(-0.77, 0.31, 0.77, 1.18, lighter(picture, 0.25))
        pen.box(-0.77, 0.31, 0.77, 0.6, darker(picture, 0.75))
        pen.disc((0.36, 0.92), 0.14, (255, 240, 170))
    else:
        pen.box(-0.77, 0.31, 0.77, 1.18, (62, 66, 74))
        pen.polygon([(-0.5, 1.18), (-0.2, 1.18), (-0.55, 0.31), (-0.77, 0.31)], (86, 91, 99))


def umbrella(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """Open, with a hooked handle."""
    cloth = shade_of(colour, rng)
    pen.line([(0, 1.2), (0, 0.12), (0.1, 0.02), (0.2, 0.1)], 0.07, WOOD)
    pen.oval((0, 0.82), 0.88, 0.62, cloth, (0, 1))
    for i in range(4):
        pen.oval((-0.66 + i * 0.44, 0.82), 0.22, 0.11, darker(cloth, 0.75) if i % 2 else cloth)
    pen.polygon([(0, 1.44), (-0.24, 0.82), (0.24, 0.82)], lighter(cloth, 0.3))
    pen.line([(0, 1.4), (0, 1.56)], 0.05, BLACK)


def clock(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """A round dial with two hands; the rim has the colour."""
    pen.disc((0, 0.6), 0.6, shade_of(colour, rng))
    pen.disc((0, 0.6), 0.47, WHITE)
    for i in range(12):
        angle = i * math.pi / 6
        pen.disc((0.4 * math.cos(angle), 0.6 + 0.4 * math.sin(angle)), 0.035, BLACK)
    for length, width in ((0.26, 0.08), (0.4, 0.055)):
        angle = rng.uniform(0, 2 * math.pi)
        pen.line([(0, 0.6), (length * math.cos(angle), 0.6 + length * math.sin(angle))], width, BLACK)


def traffic_light(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """Three lamps on a pole; the one of the colour is lit."""
    pen.box(-0.06, 0, 0.06, 0.8, (96, 96, 102))
    pen.box(-0.28, 0.75, 0.28, 1.87, (40, 42, 40))
    for name, y, bright in (
        ("red", 1.63, (255, 45, 35)),
        ("yellow", 1.31, (255, 205, 50)),
        ("green", 0.99, (50, 230, 80)),
    ):
        pen.disc((0, y), 0.165, bright if name == colour else darker(bright, 0.28))


def cup(pen: Pen, rng: np.random.Generator, variant: str, colour: str) -> None:
    """A steaming cup with a handle."""
    china = shade_of(colour, rng)
    pen.ring((0.45, 0.45), 0.22, 0.12, darker(china, 0.85))
    pen.polygon([(-0.36, 0), (0.36, 0), (0.47, 0.85), (-0.47, 0.85)], china)
    pen.oval((0, 0.85), 0.47, 0.1, darker(china, 0.5))
    for x in (-0.15, 0.12):
        pen.line([(x, 1.0), (x + 0.08, 1.12), (x - 0.04, 1.25)], 0.05, (225, 225, 225))
