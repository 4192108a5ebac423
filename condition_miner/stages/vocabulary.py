"""The vocabulary of condition names: synonyms, stop words, and words that name an object."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fedmpt.common.words import fold

CONCEPTS: dict[str, tuple[str, ...]] = {
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
"""Concept → its synonyms."""

_STOP_WORDS = """
the a an of and or in on for with to by type types kind level condition conditions state general overall object objects
context relationship relationships element elements factor factors item items photograph photo image day common shared
other specific various co-occurrence existence property properties kind kinds
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words without a concept of their own; a name of stop words alone is unusable."""

MAX_NAME_CHARACTERS = 60
"""The longest name."""

_CONCEPT_OF = {word: idea for idea, words in CONCEPTS.items() for word in words}


class Vocabulary:
    """Decides which names a condition may have, given the labels.

    Args:
        labels: names and aliases of the labels.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._objects = {word: label for label in labels for word in stems(label)}

    def problem(self, name: str) -> str | None:
        """The reason why a name is unusable: too long, names an object, or has no concept; None if it is usable."""
        if len(name) > MAX_NAME_CHARACTERS:
            return f"'{name[:20]}…' is too long for a name"
        named = next((self._objects[word] for word in sorted(stems(name)) if word in self._objects), None)
        if named is not None:
            return f"'{name}' names an object ({named}), not a property of photographs"
        if not concepts(name):
            return f"'{name}' says nothing by itself: of what property of photographs does it speak?"
        return None

    def names_object(self, text: str) -> bool:
        """Whether a text contains a word of a label's name."""
        return any(word in self._objects for word in stems(text))


def concepts(name: str) -> set[str]:
    """The concepts of a name: its words without stop words, synonyms merged."""
    return {_CONCEPT_OF.get(word, word) for word in stems(name) - STOP_WORDS}


def stems(text: str) -> set[str]:
    """The words of a text in lower case and singular (only a final s is removed)."""
    return {_stem(word) for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", fold(text))}


def spell_out(name: str) -> str:
    """A name in plain words: "time of day" for "timeOfDay" and "time_of_day"."""
    return fold(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " "))


def _stem(word: str) -> str:
    if word in _CONCEPT_OF or word in STOP_WORDS:
        return word
    if word.endswith("ies") and word[:-3] + "y" in _CONCEPT_OF:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
