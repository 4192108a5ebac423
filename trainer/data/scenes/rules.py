"""The probability tables of the natural world, from which natural.py samples.

They were written from common sense before any bank of conditions was mined or inspected for this world, so that banks
can be scored against them. Places, lights and poses are those that the renderer can draw and scenes-tiny has words for.
Labels that a place does not list are out of their usual place there.
"""

from __future__ import annotations

LABELS_AT: dict[str, dict[str, float]] = {
    "street": {
        "car": 0.55,
        "person": 0.50,
        "traffic light": 0.35,
        "bus": 0.25,
        "bicycle": 0.25,
        "motorbike": 0.20,
        "dog": 0.12,
        "umbrella": 0.10,
        "bird": 0.08,
        "cat": 0.06,
    },
    "farm": {
        "cow": 0.45,
        "sheep": 0.35,
        "horse": 0.35,
        "person": 0.35,
        "dog": 0.25,
        "bird": 0.20,
        "cat": 0.12,
        "car": 0.08,
    },
    "living room": {
        "sofa": 0.80,
        "tv monitor": 0.45,
        "person": 0.35,
        "potted plant": 0.30,
        "cat": 0.25,
        "chair": 0.25,
        "clock": 0.20,
        "cup": 0.20,
        "dog": 0.15,
        "bottle": 0.12,
        "dining table": 0.10,
    },
    "kitchen": {
        "dining table": 0.50,
        "chair": 0.45,
        "cup": 0.45,
        "bottle": 0.45,
        "person": 0.35,
        "clock": 0.20,
        "potted plant": 0.15,
        "cat": 0.12,
        "dog": 0.05,
    },
    "harbour": {
        "boat": 0.80,
        "bird": 0.40,
        "person": 0.35,
        "bicycle": 0.10,
        "dog": 0.10,
        "car": 0.10,
        "umbrella": 0.05,
    },
    "airport": {
        "aeroplane": 0.80,
        "person": 0.35,
        "bus": 0.20,
        "car": 0.20,
        "bird": 0.10,
        "clock": 0.08,
    },
    "park": {
        "person": 0.50,
        "dog": 0.35,
        "bird": 0.35,
        "bicycle": 0.25,
        "chair": 0.15,
        "umbrella": 0.12,
        "horse": 0.08,
        "bottle": 0.08,
        "cat": 0.06,
    },
    "railway station": {
        "train": 0.75,
        "person": 0.55,
        "clock": 0.40,
        "chair": 0.15,
        "traffic light": 0.15,
        "bicycle": 0.12,
        "umbrella": 0.12,
        "cup": 0.08,
        "dog": 0.06,
    },
    "snowy field": {
        "person": 0.40,
        "dog": 0.25,
        "bird": 0.25,
        "sheep": 0.15,
        "horse": 0.12,
        "car": 0.12,
    },
    "office": {
        "tv monitor": 0.65,
        "chair": 0.60,
        "person": 0.45,
        "dining table": 0.40,
        "cup": 0.35,
        "potted plant": 0.30,
        "clock": 0.25,
        "bottle": 0.15,
    },
}
"""P(label | place), averaged over the place's lights and activities."""

LIGHT_AT: dict[str, dict[str, float]] = {
    "street": {"daylight": 0.40, "night": 0.20, "dusk": 0.15, "rain": 0.15, "fog": 0.10},
    "farm": {"daylight": 0.50, "dusk": 0.20, "fog": 0.15, "rain": 0.10, "night": 0.05},
    "living room": {"daylight": 0.50, "night": 0.35, "dusk": 0.15},
    "kitchen": {"daylight": 0.60, "night": 0.25, "dusk": 0.15},
    "harbour": {"daylight": 0.35, "fog": 0.25, "dusk": 0.20, "night": 0.10, "rain": 0.10},
    "airport": {"daylight": 0.45, "night": 0.20, "fog": 0.15, "dusk": 0.10, "rain": 0.10},
    "park": {"daylight": 0.55, "dusk": 0.20, "fog": 0.10, "rain": 0.10, "night": 0.05},
    "railway station": {"daylight": 0.40, "night": 0.20, "dusk": 0.15, "rain": 0.15, "fog": 0.10},
    "snowy field": {"daylight": 0.45, "fog": 0.25, "dusk": 0.20, "night": 0.10},
    "office": {"daylight": 0.75, "night": 0.15, "dusk": 0.10},
}
"""P(light | place); there is no rain or fog indoors."""

ACTIVITY_AT: dict[str, dict[str, float]] = {
    "street": {"walking": 0.55, "standing": 0.35, "sitting": 0.10},
    "farm": {"standing": 0.40, "walking": 0.35, "sitting": 0.25},
    "living room": {"sitting": 0.70, "standing": 0.20, "walking": 0.10},
    "kitchen": {"sitting": 0.45, "standing": 0.45, "walking": 0.10},
    "harbour": {"walking": 0.40, "standing": 0.35, "sitting": 0.25},
    "airport": {"standing": 0.45, "walking": 0.45, "sitting": 0.10},
    "park": {"walking": 0.45, "sitting": 0.35, "standing": 0.20},
    "railway station": {"standing": 0.50, "sitting": 0.25, "walking": 0.25},
    "snowy field": {"walking": 0.60, "standing": 0.30, "sitting": 0.10},
    "office": {"sitting": 0.70, "standing": 0.20, "walking": 0.10},
}
"""P(activity | place), for people and animals."""

BY_LIGHT: dict[str, dict[str, float]] = {
    "daylight": {"umbrella": 0.7, "bird": 1.2, "cup": 1.2},
    "night": {
        "traffic light": 1.5,
        "tv monitor": 1.5,
        "bottle": 1.3,
        "person": 0.7,
        "cow": 0.5,
        "sheep": 0.5,
        "horse": 0.5,
        "bird": 0.3,
    },
    "fog": {"aeroplane": 0.6, "boat": 0.8, "bird": 0.7},
    "dusk": {"bird": 1.5, "dog": 1.3, "bottle": 1.3, "cup": 0.8},
    "rain": {"umbrella": 10.0, "car": 1.3, "dog": 0.7, "bird": 0.5, "bicycle": 0.5, "motorbike": 0.5, "cat": 0.5},
}
"""Factor of a light on the odds of a label; 1 if not listed."""

BY_ACTIVITY: dict[str, dict[str, float]] = {
    "sitting": {
        "chair": 2.5,
        "cup": 2.5,
        "sofa": 2.0,
        "dining table": 2.0,
        "bottle": 1.5,
        "tv monitor": 1.5,
        "umbrella": 0.6,
        "horse": 0.6,
        "bicycle": 0.5,
        "motorbike": 0.5,
    },
    "standing": {
        "traffic light": 2.0,
        "bus": 1.5,
        "train": 1.5,
        "clock": 1.3,
        "cow": 1.3,
        "sheep": 1.3,
        "cup": 0.8,
        "chair": 0.6,
        "sofa": 0.5,
    },
    "walking": {
        "dog": 2.5,
        "person": 1.5,
        "umbrella": 1.5,
        "bicycle": 1.5,
        "horse": 1.5,
        "bird": 1.3,
        "tv monitor": 0.6,
        "bottle": 0.6,
        "cup": 0.5,
        "dining table": 0.5,
        "chair": 0.4,
        "sofa": 0.4,
    },
}
"""Factor of an activity on the odds of a label; 1 if not listed."""

POSES: dict[str, dict[str, tuple[str, ...]]] = {
    "sitting": {
        "person": ("sitting",),
        "cat": ("sitting", "lying"),
        "dog": ("sitting", "lying"),
        "cow": ("lying",),
        "sheep": ("lying",),
        "horse": ("standing",),
        "bird": ("perched",),
    },
    "standing": {
        "person": ("standing", "waving"),
        "cat": ("standing",),
        "dog": ("standing",),
        "cow": ("standing",),
        "sheep": ("standing",),
        "horse": ("standing",),
        "bird": ("perched",),
    },
    "walking": {
        "person": ("walking",),
        "cat": ("standing",),
        "dog": ("running",),
        "cow": ("standing",),
        "sheep": ("standing",),
        "horse": ("running",),
        "bird": ("flying",),
    },
}
"""The poses of each activity. An activity is invisible in pictures without people and animals."""

SITE_SHARES = (0.7, 0.2, 0.1)
"""Frequencies of a site's three places, the main one first."""
SITE_LIGHT = 4.0
"""Factor on the weight of a site's own light, relative to `LIGHT_AT`."""
FIRST_MAIN_PLACE = "living room"
"""The main place of the first site of every world, where a cat implies a sofa."""
MAX_LABELS = 5
"""Maximum number of labels of an image; the minimum is one."""
