"""The 24 classes: drawing function, size, variants and colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.data.scenes import animals, things, vehicles
from trainer.data.scenes.pen import FUR, PAINT, Pen

Draw = Callable[[Pen, np.random.Generator, str, str], None]


@dataclass(frozen=True)
class Kind:
    """A class of objects.

    Attributes:
        draw: draws an object with a pen, in a variant and a colour.
        half_width, height: its extent in object units.
        unit: the object unit as a fraction of the picture's side, for a near object.
        attribute: the meaning of its variants: "pose", "view", "kind" or "state".
        variants: their names.
        colours: names of its possible colours.
        aloft: probability of being in the air or on a wall instead of on the ground.
    """

    draw: Draw
    half_width: float
    height: float
    unit: float
    attribute: str
    variants: tuple[str, ...]
    colours: tuple[str, ...]
    aloft: float = 0.0


_ANY = ("",)
_VIEWS = ("side", "front")

KINDS: dict[str, Kind] = {
    "aeroplane": Kind(
        vehicles.aeroplane, 1.28, 1.15, 0.20, "kind", _ANY, ("white", "red", "blue", "grey", "yellow", "orange"), 0.75
    ),
    "bicycle": Kind(vehicles.bicycle, 1.0, 1.3, 0.18, "kind", _ANY, PAINT),
    "bird": Kind(
        animals.bird,
        1.0,
        1.4,
        0.16,
        "pose",
        ("flying", "perched"),
        ("red", "blue", "black", "white", "yellow", "green", "brown", "grey"),
        0.5,
    ),
    "boat": Kind(vehicles.boat, 0.95, 1.75, 0.18, "kind", ("sailing", "motor"), PAINT),
    "bottle": Kind(
        things.bottle, 0.28, 1.52, 0.175, "kind", _ANY, ("green", "brown", "blue", "white", "red", "yellow")
    ),
    "bus": Kind(vehicles.bus, 1.3, 1.55, 0.19, "view", _VIEWS, PAINT),
    "car": Kind(vehicles.car, 0.97, 0.95, 0.20, "view", _VIEWS, PAINT),
    "cat": Kind(animals.cat, 1.0, 1.55, 0.20, "pose", ("standing", "sitting", "lying"), FUR),
    "chair": Kind(
        things.chair, 0.54, 1.5, 0.20, "view", _VIEWS, ("brown", "red", "blue", "white", "black", "green", "yellow")
    ),
    "cow": Kind(animals.cow, 1.2, 1.55, 0.19, "pose", ("standing", "lying"), ("white", "brown", "black")),
    "dining table": Kind(
        things.dining_table, 1.2, 1.03, 0.19, "kind", ("square", "round"), ("brown", "white", "grey", "orange")
    ),
    "dog": Kind(animals.dog, 1.15, 1.4, 0.20, "pose", ("standing", "sitting", "lying", "running"), FUR),
    "horse": Kind(
        animals.horse, 1.35, 1.93, 0.18, "pose", ("standing", "running"), ("brown", "black", "white", "grey")
    ),
    "motorbike": Kind(vehicles.motorbike, 1.0, 1.14, 0.19, "kind", _ANY, PAINT),
    "person": Kind(animals.person, 0.56, 1.9, 0.21, "pose", ("standing", "walking", "sitting", "waving"), PAINT),
    "potted plant": Kind(
        things.potted_plant, 0.85, 1.45, 0.20, "kind", ("leafy", "flowering"), ("brown", "white", "blue", "orange")
    ),
    "sheep": Kind(animals.sheep, 0.82, 1.1, 0.21, "pose", ("standing", "lying"), ("white", "grey", "brown")),
    "sofa": Kind(
        things.sofa,
        1.35,
        1.1,
        0.20,
        "kind",
        _ANY,
        ("red", "green", "blue", "grey", "brown", "purple", "yellow"),
    ),
    "train": Kind(vehicles.train, 1.7, 1.48, 0.165, "view", _VIEWS, PAINT),
    "tv monitor": Kind(
        things.tv_monitor, 0.86, 1.27, 0.19, "state", ("on", "off"), ("blue", "green", "orange", "purple"), 0.5
    ),
    "umbrella": Kind(things.umbrella, 0.88, 1.56, 0.20, "kind", _ANY, PAINT),
    "clock": Kind(
        things.clock, 0.6, 1.2, 0.20, "kind", _ANY, ("red", "black", "brown", "blue", "yellow", "green"), 0.6
    ),
    "traffic light": Kind(things.traffic_light, 0.28, 1.87, 0.19, "kind", _ANY, ("red", "yellow", "green")),
    "cup": Kind(things.cup, 0.67, 1.25, 0.18, "kind", _ANY, PAINT),
}
"""The 20 VOC classes in VOC's order, then four more; the order of the label matrix."""

CLASSES: tuple[str, ...] = tuple(KINDS)
