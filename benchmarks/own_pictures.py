"""Small data sets on disk, as a user would bring them: drawn things on surfaces, a table, three sites.

Nothing here is shared with the drawn world `scenes`, and scenes-tiny never saw these things.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = (128, 96)
"""Width and height of an image in pixels."""

Box = tuple[float, float, float]
"""Centre and half the height of a thing."""
Colour = tuple[int, int, int]
Draw = Callable[[ImageDraw.ImageDraw, Box, Colour, np.random.Generator], None]


def _ring(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, _: np.random.Generator) -> None:
    x, y, r = box
    pen.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=max(3, int(r / 2.5)))


def _gear(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    turn = random.uniform(0, 1)
    teeth = [
        (x + s * r * math.cos(a), y + s * r * math.sin(a))
        for i in range(32)
        for s, a in [(1.0 if i % 4 < 2 else 0.72, (i + turn) * math.pi / 16)]
    ]
    pen.polygon(teeth, fill=colour)
    pen.ellipse((x - r / 4, y - r / 4, x + r / 4, y + r / 4), fill=(20, 20, 20))


def _screw(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, _: np.random.Generator) -> None:
    x, y, r = box
    pen.rectangle((x - r / 2, y - r, x + r / 2, y - r * 0.65), fill=colour)
    pen.polygon([(x - r / 5, y - r * 0.65), (x + r / 5, y - r * 0.65), (x, y + r)], fill=colour)
    for i in range(6):
        pen.line((x - r / 4, y - r / 2 + i * r / 5, x + r / 4, y - r * 0.6 + i * r / 5), fill=(30, 30, 30), width=1)


def _spring(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, _: np.random.Generator) -> None:
    x, y, r = box
    points = [(x - r + 2 * r * i / 60, y + r / 2 * math.sin(i * math.pi / 4)) for i in range(61)]
    pen.line(points, fill=colour, width=2)


def _crack(pen: ImageDraw.ImageDraw, box: Box, _: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    points = [(x - r + 2 * r * i / 9, y + random.uniform(-r / 2, r / 2)) for i in range(10)]
    pen.line(points, fill=(15, 12, 12), width=2)
    pen.line([points[4], (points[5][0], y + r)], fill=(15, 12, 12), width=1)


def _rust(pen: ImageDraw.ImageDraw, box: Box, __: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    for _ in range(90):
        dx, dy = random.normal(0, r / 2, 2)
        shade = (int(random.integers(130, 190)), int(random.integers(50, 90)), 25)
        pen.ellipse((x + dx - 2, y + dy - 2, x + dx + 2, y + dy + 2), fill=shade)


def _oil(pen: ImageDraw.ImageDraw, box: Box, __: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    for _ in range(5):
        dx, dy = random.uniform(-r / 3, r / 3, 2)
        s = r * random.uniform(0.4, 0.8)
        pen.ellipse((x + dx - s, y + dy - s * 0.7, x + dx + s, y + dy + s * 0.7), fill=(28, 22, 40))


def _scratch(pen: ImageDraw.ImageDraw, box: Box, _: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    slope = random.uniform(-0.5, 0.5)
    for i in range(5):
        pen.line((x - r, y - slope * r + 3 * i, x + r, y + slope * r + 3 * i), fill=(235, 235, 240), width=1)


def _barcode(pen: ImageDraw.ImageDraw, box: Box, _: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    pen.rectangle((x - r, y - r * 0.7, x + r, y + r * 0.7), fill=(250, 250, 250))
    for i in range(14):
        if random.random() < 0.6:
            pen.rectangle((x - r * 0.85 + i * r / 8.5, y - r / 2, x - r * 0.8 + i * r / 8.5, y + r / 2), fill=(0, 0, 0))


def _cable(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    bend = random.uniform(1, 3)
    points = [(x - 1.6 * r + 3.2 * r * i / 30, y + r * 0.6 * math.sin(bend * i / 10)) for i in range(31)]
    pen.line(points, fill=colour, width=5, joint="curve")


def _holes(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    for i in range(3):
        for j in range(3):
            cx, cy = x + (i - 1) * r * 0.7, y + (j - 1) * r * 0.7
            pen.ellipse((cx - r / 5, cy - r / 5, cx + r / 5, cy + r / 5), fill=(5, 5, 8))


def _arrow(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    pen.rectangle((x - r, y - r / 5, x + r / 4, y + r / 5), fill=(240, 200, 20))
    pen.polygon([(x + r / 4, y - r * 0.6), (x + r, y), (x + r / 4, y + r * 0.6)], fill=(240, 200, 20))


def _mushroom(pen: ImageDraw.ImageDraw, box: Box, _: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    pen.rectangle((x - r / 5, y, x + r / 5, y + r), fill=(235, 225, 200))
    pen.pieslice((x - r, y - r * 0.8, x + r, y + r * 0.8), 180, 360, fill=(int(random.integers(150, 220)), 40, 35))


def _fern(pen: ImageDraw.ImageDraw, box: Box, _: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    green = (20, int(random.integers(90, 150)), 30)
    pen.line((x, y + r, x, y - r), fill=green, width=2)
    for i in range(9):
        at, reach = y + r - 2 * r * i / 9, r * (1 - i / 10)
        pen.line((x - reach, at - reach / 2, x, at, x + reach, at - reach / 2), fill=green, width=2)


def _puddle(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    pen.ellipse((x - 1.5 * r, y - r / 2, x + 1.5 * r, y + r / 2), fill=(95, 135, 185))
    pen.arc((x - r, y - r / 3, x + r, y + r / 3), 200, 300, fill=(220, 235, 250), width=2)


def _fence(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    for i in range(5):
        at = x - 1.4 * r + 0.7 * r * i
        pen.polygon(
            [(at - 4, y + r), (at - 4, y - r * 0.6), (at, y - r), (at + 4, y - r * 0.6), (at + 4, y + r)],
            fill=(240, 236, 225),
        )
    pen.rectangle((x - 1.6 * r, y - 3, x + 1.6 * r, y + 3), fill=(225, 220, 205))


def _snail(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    pen.ellipse((x - r, y + r * 0.3, x + r, y + r * 0.8), fill=(190, 170, 120))
    for i in range(4):
        s = r * (0.8 - i * 0.2)
        pen.ellipse((x - s, y - s, x + s, y + s), fill=((120, 70, 30), (200, 150, 90))[i % 2])


def _rake(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    pen.line((x, y - r, x, y + r * 0.5), fill=(150, 105, 60), width=3)
    pen.line((x - r * 0.7, y + r * 0.5, x + r * 0.7, y + r * 0.5), fill=(70, 70, 75), width=3)
    for i in range(7):
        at = x - r * 0.7 + 1.4 * r * i / 6
        pen.line((at, y + r * 0.5, at, y + r), fill=(70, 70, 75), width=2)


def _leaves(pen: ImageDraw.ImageDraw, box: Box, __: Colour, random: np.random.Generator) -> None:
    x, y, r = box
    for _ in range(14):
        dx, dy = random.normal(0, r * 0.7, 2)
        shade = (int(random.integers(190, 240)), int(random.integers(100, 160)), 20)
        pen.polygon(
            [(x + dx - 5, y + dy), (x + dx, y + dy - 4), (x + dx + 5, y + dy), (x + dx, y + dy + 4)], fill=shade
        )


def _hose(pen: ImageDraw.ImageDraw, box: Box, _: Colour, __: np.random.Generator) -> None:
    x, y, r = box
    for s in (1.0, 0.72, 0.44):
        pen.ellipse(
            (x - s * r * 1.2, y - s * r * 0.8, x + s * r * 1.2, y + s * r * 0.8), outline=(30, 150, 60), width=4
        )


@dataclass(frozen=True)
class OwnData:
    """A user's data set.

    Attributes:
        things: how each label is drawn.
        conditions: texts of a small bank.
        surfaces: the base colour of each site's background, and its grain.
        sites: training images of each site.
        test_images: from all surfaces alike.
    """

    things: dict[str, Draw]
    conditions: tuple[str, ...]
    surfaces: tuple[tuple[Colour, int], ...]
    sites: tuple[int, ...]
    test_images: int = 200


SETS = {
    "factory": OwnData(
        {
            "washer": _ring,
            "gear wheel": _gear,
            "screw": _screw,
            "coil spring": _spring,
            "crack": _crack,
            "rust": _rust,
            "oil stain": _oil,
            "scratch": _scratch,
            "barcode": _barcode,
            "cable": _cable,
            "drill holes": _holes,
            "arrow": _arrow,
        },
        ("background", "lighting", "arrangement", "wear"),
        (((150, 155, 160), 10), ((120, 100, 75), 22), ((60, 75, 70), 14)),
        (60, 50, 40),
    ),
    "garden": OwnData(
        {
            "mushroom": _mushroom,
            "fern": _fern,
            "puddle": _puddle,
            "fence": _fence,
            "snail": _snail,
            "rake": _rake,
            "fallen leaves": _leaves,
            "hose": _hose,
        },
        ("background", "season", "weather"),
        (((90, 130, 60), 25), ((130, 110, 85), 18), ((165, 165, 160), 8)),
        (45, 45, 45),
    ),
}
"""Rules were tuned on `factory`; `garden` was kept aside."""


def write(name: str, folder: Path, seed: int) -> None:
    """Draw a set into a folder: images, and table.csv with path, labels, site and split."""
    own, random = SETS[name], np.random.default_rng([seed, len(name)])
    rows = []
    for site, count in enumerate(own.sites):
        # Each site sees some things often and others seldom.
        odds = random.permutation(np.geomspace(1, 6, len(own.things)))
        rows += [(f"site {site + 1}", "train", _labels(own, odds, random), site) for _ in range(count)]
    even = np.ones(len(own.things))
    rows += [("", "test", _labels(own, even, random), i % len(own.surfaces)) for i in range(own.test_images)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "labels", "site", "split"))
        for index, (owner, split, labels, surface) in enumerate(rows):
            path = f"{index:04d}.png"
            _picture(own, labels, own.surfaces[surface], random).save(folder / path)
            table.writerow((path, ";".join(labels), owner, split))


def _labels(own: OwnData, odds: np.ndarray, random: np.random.Generator) -> list[str]:
    count = int(random.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.25, 0.15]))
    return [str(n) for n in random.choice(list(own.things), size=count, replace=False, p=odds / odds.sum())]


def _picture(own: OwnData, labels: list[str], surface: tuple[Colour, int], random: np.random.Generator) -> Image.Image:
    base, grain = surface
    light = random.uniform(0.7, 1.25)
    noise = random.normal(0, grain, (SIZE[1], SIZE[0], 1)) + random.normal(0, 4, (SIZE[1], SIZE[0], 3))
    pixels = np.clip(light * (np.array(base) + noise), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.6))
    pen = ImageDraw.Draw(image)
    for label in random.permutation(labels):
        # The whole thing lies within the central square that a centre crop keeps.
        half = random.uniform(12, 22)
        x, y = random.uniform(34, SIZE[0] - 34), random.uniform(18, SIZE[1] - 18)
        shade = random.integers(60, 230, 3)
        own.things[str(label)](pen, (x, y, half), (int(shade[0]), int(shade[1]), int(shade[2])), random)
    return image
