"""One list of conditions out of many proposals: filtered, merged and voted here, since small models do it badly.

A small model names the same idea in many ways ("location", "place setting", "the background"). Names are compared by
their words: function words are dropped, endings are cut, and words for the same idea count as one.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from condition_miner.answers import ProposedCondition
from prompt_bank.checks import fold

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
other specific various co-occurrence existence
"""
EMPTY = frozenset(_EMPTY.split())
"""Words that name no condition by themselves; a name made of them alone is dropped."""

_IDEA_OF = {word: idea for idea, words in IDEAS.items() for word in words}


@dataclass(frozen=True)
class Elected:
    """A condition with its votes.

    Attributes:
        text: the name that was used most.
        definition: of the first proposal with that name.
        values: those proposed most, at most six.
        votes: in how many proposals it occurs.
    """

    text: str
    definition: str
    values: tuple[str, ...]
    votes: int


def elect(proposals: list[tuple[ProposedCondition, ...]], labels: list[str], count: int) -> list[Elected]:
    """The conditions named most often.

    Args:
        proposals: what each request proposed.
        labels: label names; a condition that names one is about objects, and is dropped.
        count: how many are wanted; fewer are returned where fewer were proposed.
    """
    label_words = {word for label in labels for word in _stems(label)}
    groups: list[tuple[set[str], list[tuple[int, ProposedCondition]]]] = []
    for number, proposal in enumerate(proposals):
        for condition in proposal:
            ideas = _ideas(condition.name)
            if not ideas or _stems(condition.name) & label_words:
                continue
            # A name of several ideas ("time and weather") belongs to the first group that shares one.
            home = next((group for group in groups if group[0] & ideas), None)
            if home is None:
                groups.append((ideas, [(number, condition)]))
            else:
                home[1].append((number, condition))
    elected = [_elected(members, label_words) for _, members in groups]
    elected.sort(key=lambda e: -e.votes)
    return elected[:count]


def identifier(text: str, taken: set[str]) -> str:
    """A stable id for a condition's text that is not taken yet."""
    stem = re.sub(r"[^a-z0-9]+", "-", fold(text)).strip("-")[:48] or "condition"
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    return name


def _elected(members: list[tuple[int, ProposedCondition]], label_words: set[str]) -> Elected:
    names = Counter(fold(condition.name) for _, condition in members)
    text = min(names, key=lambda name: (-names[name], len(name), name))
    first = next(condition for _, condition in members if fold(condition.name) == text)
    values = Counter(fold(value) for _, condition in members for value in condition.values)
    kept = [value for value, _ in values.most_common() if len(value) <= 40 and not _stems(value) & label_words]
    return Elected(text, first.definition, tuple(kept[:6]), len({number for number, _ in members}))


def _ideas(name: str) -> set[str]:
    words = _stems(name) - EMPTY
    return {_IDEA_OF.get(word, word) for word in words}


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", fold(text))}


def _stem(word: str) -> str:
    if word in _IDEA_OF or word in EMPTY:
        return word
    if word.endswith("ies") and word[:-3] + "y" in _IDEA_OF:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
