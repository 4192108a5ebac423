"""Drawing animals and people. Each function draws one object in a pose and a main colour."""

from __future__ import annotations

import math

import numpy as np

from trainer.data.scenes.pen import BLACK, SKIN, WHITE, Colour, Pen, Point, darker, lighter, shade_of

BEAK: Colour = (240, 165, 40)
PINK: Colour = (238, 170, 178)


def person(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Standing, walking, sitting or waving; the shirt has the colour."""
    shirt, skin = shade_of(colour, rng), SKIN[rng.integers(len(SKIN))]
    trousers = shade_of(("blue", "black", "grey", "brown")[rng.integers(4)], rng)
    hair = shade_of(("black", "brown", "yellow", "grey")[rng.integers(4)], rng)
    hip = 0.45 if pose == "sitting" else 0.78
    if pose == "sitting":
        pen.line([(0, hip), (0.40, hip), (0.42, 0)], 0.2, trousers)
    else:
        stride = 0.30 if pose == "walking" else 0.12
        pen.line([(-0.08, hip), (-stride, 0)], 0.17, trousers)
        pen.line([(0.08, hip), (stride, 0)], 0.17, darker(trousers, 0.8))
    pen.polygon([(-0.2, hip - 0.04), (0.2, hip - 0.04), (0.27, hip + 0.62), (-0.27, hip + 0.62)], shirt)
    hands: list[Point] = [(-0.37, hip + 0.05), (0.37, hip + 0.05)]
    if pose == "waving":
        hands[1] = (0.55, hip + 1.1)
    for side, hand in zip((-1, 1), hands, strict=True):
        pen.line([(0.24 * side, hip + 0.54), hand], 0.13, darker(shirt, 0.85))
        pen.disc(hand, 0.08, skin)
    pen.oval((0, hip + 0.88), 0.2, 0.24, skin)
    pen.oval((0, hip + 0.96), 0.22, 0.18, hair, (0, 1))


def bird(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Flying or perched."""
    body = shade_of(colour, rng)
    eye = WHITE if colour == "black" else BLACK
    if pose == "flying":
        lift = rng.uniform(0.65, 0.95)
        pen.polygon([(-0.3, 0.5), (-1.0, 0.75), (-0.95, 0.4)], darker(body, 0.75))
        pen.polygon([(0.3, 0.55), (0.0, 0.5), (0.1, 0.55 + lift), (0.35, 0.5 + lift)], darker(body, 0.85))
        pen.oval((0, 0.5), 0.46, 0.2, body)
        pen.polygon([(-0.25, 0.55), (0.2, 0.55), (-0.3, 0.5 + lift), (-0.5, 0.4 + lift)], darker(body, 0.7))
        head = (0.48, 0.6)
    else:
        for x in (-0.05, 0.12):
            pen.line([(x, 0.3), (x, 0), (x + 0.14, 0)], 0.05, BEAK)
        pen.polygon([(-0.25, 0.5), (-0.9, 0.12), (-0.72, 0.5)], darker(body, 0.7))
        pen.oval((0, 0.5), 0.42, 0.3, body)
        pen.oval((-0.1, 0.48), 0.28, 0.17, darker(body, 0.7))
        head = (0.34, 0.84)
    pen.disc(head, 0.2, body)
    x, y = head
    pen.polygon([(x + 0.15, y + 0.08), (x + 0.5, y - 0.02), (x + 0.15, y - 0.1)], BEAK)
    pen.disc((x + 0.06, y + 0.05), 0.05, eye)


def cat(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Standing, sitting or lying: pointed ears, a curled striped tail, whiskers, green eyes."""
    fur = shade_of(colour, rng)
    stripe = lighter(fur, 0.35) if colour == "black" else darker(fur, 0.6)
    tails: dict[str, list[Point]] = {
        "standing": [(-0.5, 0.5), (-0.8, 0.75), (-0.78, 1.15), (-0.52, 1.3), (-0.42, 1.12)],
        "sitting": [(-0.3, 0.1), (-0.72, 0.12), (-0.85, 0.48), (-0.65, 0.62)],
        "lying": [(-0.6, 0.15), (-1.0, 0.14), (-1.08, 0.42), (-0.88, 0.52)],
    }
    pen.line(tails[pose], 0.12, fur)
    pen.line(tails[pose][-2:], 0.12, stripe)
    if pose == "standing":
        _legs(pen, fur, (-0.45, 0.35), 0.35, 0.12)
        pen.oval((-0.03, 0.46), 0.56, 0.21, fur)
        head: Point = (0.55, 0.72)
    elif pose == "sitting":
        pen.oval((-0.05, 0.34), 0.4, 0.34, fur)
        pen.oval((0.05, 0.62), 0.26, 0.35, fur)
        pen.line([(0.14, 0.42), (0.16, 0.02)], 0.13, darker(fur, 0.85))
        head = (0.14, 1.1)
    else:
        pen.oval((-0.05, 0.23), 0.64, 0.24, fur)
        pen.line([(0.2, 0.08), (0.62, 0.06)], 0.12, darker(fur, 0.85))
        head = (0.52, 0.46)
    for i in range(3):
        x = -0.28 + 0.2 * i
        top = {"standing": 0.66, "sitting": 0.62, "lying": 0.46}[pose]
        pen.line([(x, top), (x, top - 0.2)], 0.05, stripe)
    _cat_head(pen, head, fur, stripe, WHITE if colour in ("black", "brown") else BLACK)


def _cat_head(pen: Pen, head: Point, fur: Colour, stripe: Colour, whisker: Colour) -> None:
    x, y = head
    for side in (-1, 1):
        pen.polygon([(x + side * 0.27, y), (x + side * 0.27, y + 0.46), (x + side * 0.02, y + 0.2)], fur)
        pen.polygon([(x + side * 0.22, y + 0.1), (x + side * 0.23, y + 0.36), (x + side * 0.1, y + 0.2)], PINK)
    pen.oval(head, 0.29, 0.25, fur)
    pen.line([(x, y + 0.24), (x, y + 0.12)], 0.05, stripe)
    for side in (-1, 1):
        pen.oval((x + side * 0.11, y + 0.04), 0.065, 0.07, (140, 215, 70))
        pen.oval((x + side * 0.11, y + 0.04), 0.022, 0.06, BLACK)
        for rise in (0.02, -0.06):
            pen.line([(x + side * 0.08, y - 0.09), (x + side * 0.42, y - 0.07 + rise)], 0.018, whisker)
    pen.oval((x, y - 0.07), 0.045, 0.035, (232, 120, 135))


def dog(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Standing, sitting, lying or running: long snout, hanging ears, a red collar, tongue out."""
    fur = shade_of(colour, rng)
    ear = lighter(fur, 0.25) if colour == "black" else darker(fur, 0.5)
    if pose in ("standing", "running"):
        _legs(pen, fur, (-0.52, 0.42), 0.48, 0.15, running=pose == "running")
        pen.box(-0.6, 0.45, 0.5, 0.82, fur)
        pen.oval((-0.57, 0.63), 0.15, 0.19, fur)
        pen.oval((0.48, 0.66), 0.2, 0.24, fur)
        pen.line([(-0.66, 0.75), (-0.92, 1.12)], 0.1, fur)
        head: Point = (0.68, 1.04)
    elif pose == "sitting":
        pen.polygon([(-0.48, 0), (0.2, 0), (0.34, 0.88), (0.02, 0.92)], fur)
        pen.oval((-0.2, 0.24), 0.34, 0.24, fur)
        pen.line([(0.22, 0.55), (0.24, 0.02)], 0.15, darker(fur, 0.85))
        pen.line([(-0.44, 0.1), (-0.82, 0.34)], 0.1, fur)
        head = (0.27, 1.1)
    else:
        pen.oval((-0.1, 0.25), 0.7, 0.25, fur)
        pen.line([(-0.7, 0.2), (-1.05, 0.34)], 0.1, fur)
        pen.line([(0.2, 0.08), (0.78, 0.07)], 0.14, darker(fur, 0.85))
        head = (0.6, 0.54)
    x, y = head
    pen.line([(x - 0.16, y - 0.26), (x + 0.1, y - 0.28)], 0.1, (215, 35, 35))
    pen.line([(x + 0.4, y - 0.14), (x + 0.42, y - 0.32)], 0.09, (235, 100, 120))
    pen.polygon([(x + 0.05, y - 0.18), (x + 0.56, y - 0.16), (x + 0.56, y + 0.04), (x + 0.1, y + 0.18)], fur)
    pen.oval(head, 0.26, 0.25, fur)
    pen.disc((x + 0.55, y + 0.01), 0.075, (95, 75, 75) if colour == "black" else BLACK)
    pen.disc((x + 0.1, y + 0.08), 0.045, WHITE if colour == "black" else BLACK)
    pen.oval((x - 0.17, y - 0.08), 0.12, 0.28, ear)


def cow(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Standing or lying: a patched box of a body, horns, a pink muzzle."""
    hide = shade_of(colour, rng)
    drop = 0.0 if pose == "standing" else -0.38
    if pose == "standing":
        _legs(pen, hide, (-0.7, 0.52), 0.5, 0.17)
        pen.oval((-0.4, 0.43), 0.17, 0.12, PINK)
    pen.box(-0.86, 0.46 + drop, 0.72, 1.1 + drop, hide)
    pen.oval((-0.84, 0.78 + drop), 0.14, 0.32, hide)
    patch = BLACK if colour == "white" else WHITE
    for _ in range(4):
        centre = (rng.uniform(-0.65, 0.5), drop + rng.uniform(0.62, 0.96))
        pen.oval(centre, rng.uniform(0.1, 0.2), rng.uniform(0.08, 0.14), patch)
    pen.line([(-0.93, 1.02 + drop), (-1.08, 0.52 + drop)], 0.06, hide)
    x, y = 0.96, 1.08 + drop
    for left, right in ((-0.15, -0.3), (0.12, 0.3)):
        pen.line([(x + left, y + 0.2), (x + right, y + 0.45)], 0.08, (236, 226, 192))
    pen.oval((x - 0.3, y + 0.1), 0.14, 0.07, darker(hide, 0.75))
    pen.oval((x, y), 0.23, 0.28, hide)
    pen.oval((x + 0.08, y - 0.2), 0.2, 0.14, PINK)
    pen.disc((x + 0.05, y + 0.07), 0.04, WHITE if colour == "black" else BLACK)


def horse(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Standing or running: long legs, a raised neck with a mane, a flowing tail."""
    coat = shade_of(colour, rng)
    mane = (72, 62, 58) if colour == "black" else darker(coat, 0.4)
    pen.polygon([(-0.68, 1.08), (-1.08, 0.9), (-1.1, 0.28), (-0.86, 0.8)], mane)
    _legs(pen, coat, (-0.6, 0.5), 0.75, 0.13, running=pose == "running")
    pen.oval((-0.05, 0.95), 0.74, 0.27, coat)
    pen.polygon([(0.35, 0.85), (0.72, 0.95), (1.02, 1.62), (0.72, 1.72)], coat)
    pen.polygon([(0.72, 1.76), (0.96, 1.64), (1.36, 1.3), (1.24, 1.18), (0.86, 1.4)], coat)
    pen.polygon([(0.77, 1.7), (0.76, 1.93), (0.9, 1.72)], coat)
    pen.polygon([(0.3, 1.12), (0.62, 1.74), (0.77, 1.82), (0.5, 1.12)], mane)
    pen.disc((0.96, 1.52), 0.04, WHITE if colour == "black" else BLACK)


def sheep(pen: Pen, rng: np.random.Generator, pose: str, colour: str) -> None:
    """Standing or lying: a woolly cloud with a dark face."""
    wool = shade_of(colour, rng)
    drop = 0.0 if pose == "standing" else -0.28
    face: Colour = (55, 48, 48)
    if pose == "standing":
        _legs(pen, face, (-0.38, 0.3), 0.35, 0.11)
    for i in range(10):
        angle = 2 * math.pi * i / 10
        tuft = lighter(wool, 0.18) if i % 2 else wool
        pen.oval((0.5 * math.cos(angle) - 0.03, 0.62 + drop + 0.26 * math.sin(angle)), 0.2, 0.19, tuft)
    pen.oval((-0.03, 0.62 + drop), 0.5, 0.3, wool)
    pen.oval((0.47, 0.9 + drop), 0.15, 0.07, face)
    pen.oval((0.63, 0.78 + drop), 0.2, 0.23, face)
    pen.oval((0.61, 0.98 + drop), 0.18, 0.11, wool)
    pen.disc((0.69, 0.82 + drop), 0.035, WHITE)


def _legs(
    pen: Pen, colour: Colour, span: tuple[float, float], height: float, width: float, running: bool = False
) -> None:
    """Four legs between two x coordinates, stretched if running."""
    left, right = span
    inner = 0.2 * (right - left)
    reach = (-0.3, 0.35, -0.15, 0.5) if running else (0.0, 0.0, 0.0, 0.0)
    for i, x in enumerate((left, left + inner, right - inner, right)):
        pen.line([(x, height * 1.1), (x + reach[i] * height, 0)], width, darker(colour, 0.72 if i in (1, 2) else 0.92))
