"""Words of conditions: which are for the same idea, which say nothing by themselves, which name an object."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fedmpt.common.words import fold

IDEAS: dict[str, tuple[str, ...]] = {
    "place": ("location", "place", "setting", "environment", "background", "scene", "surroundings", "venue", "terrain"),
    "time": ("time", "season", "daytime", "hour"),
    "light": ("lighting", "light", "illumination", "brightness"),
    "weather": ("weather", "climate", "atmosphere", "atmospheric"),
    "activity": ("activity", "action", "movement", "motion", "behavior", "behaviour", "event", "interaction"),
    "pose": ("pose", "posture", "orientation", "gesture"),
    "arrangement": ("arrangement", "layout", "composition", "position", "placement", "spatial", "proximity"),
    "scale": ("scale", "size", "distance", "perspective", "viewpoint", "angle"),
    "colour": ("color", "colour", "palette"),
    "purpose": ("purpose", "function", "use", "usage"),
    "mood": ("mood", "emotion", "emotional", "tone"),
    "people": ("people", "social", "presence", "crowd"),
}
"""Words for the same idea."""

_EMPTY = """
the a an of and or in on for with to by type types kind level condition conditions state general overall object objects
context relationship relationships element elements factor factors item items photograph photo image day common shared
other specific various co-occurrence existence property properties kind kinds
"""
EMPTY = frozenset(_EMPTY.split())
"""Words that name no condition by themselves; a name made of them alone is dropped."""

LONGEST = 60
"""Characters of a name."""

_IDEA_OF = {word: idea for idea, words in IDEAS.items() for word in words}


class Vocabulary:
    """What can be the name of a condition where these labels are the objects.

    Args:
        labels: names and aliases of the objects.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._objects = {word: label for label in labels for word in stems(label)}

    def problem(self, name: str) -> str | None:
        """Why a name cannot be used: it is no name, names an object, or nothing; None where it can."""
        if len(name) > LONGEST:
            return f"'{name[:20]}…' is too long for a name"
        named = next((self._objects[word] for word in sorted(stems(name)) if word in self._objects), None)
        if named is not None:
            return f"'{name}' names an object ({named}), not a property of photographs"
        if not ideas(name):
            return f"'{name}' says nothing by itself: of what property of photographs does it speak?"
        return None

    def names_object(self, text: str) -> bool:
        """Whether a text has a word of an object's name."""
        return any(word in self._objects for word in stems(text))


def ideas(name: str) -> set[str]:
    """What a name speaks of: its words without function words, those for the same idea as one."""
    return {_IDEA_OF.get(word, word) for word in stems(name) - EMPTY}


def stems(text: str) -> set[str]:
    """The words of a text, without case and plural."""
    return {_stem(word) for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", fold(text))}


def in_words(name: str) -> str:
    """A name as people write it: "time of day" for "timeOfDay" and "time_of_day"."""
    return fold(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " "))


def _stem(word: str) -> str:
    if word in _IDEA_OF or word in EMPTY:
        return word
    if word.endswith("ies") and word[:-3] + "y" in _IDEA_OF:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
