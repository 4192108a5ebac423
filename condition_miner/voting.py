"""One list of conditions out of many proposals: filtered, merged and voted here, since small models do it badly.

A small model names the same idea in many ways ("location", "place setting", "the background"). Names are compared by
their words: function words are dropped, endings are cut, and words for the same idea count as one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
other specific various co-occurrence existence property properties kind kinds
"""
EMPTY = frozenset(_EMPTY.split())
"""Words that name no condition by themselves; a name made of them alone is dropped."""

LONGEST = 60
"""Characters of a name."""

_IDEA_OF = {word: idea for idea, words in IDEAS.items() for word in words}


@dataclass(frozen=True)
class Proposal:
    """A condition as one answer named it."""

    name: str
    definition: str


@dataclass(frozen=True)
class Elected:
    """A condition with its votes.

    Attributes:
        text: the name that was used most.
        definition: of the first proposal with that name.
        votes: in how many answers it occurs.
    """

    text: str
    definition: str
    votes: int


@dataclass(frozen=True)
class Unusable:
    """A name that no condition can have, with its votes.

    Attributes:
        proposal: the first one with that name.
        reason: for the model that is to find another name.
        votes: in how many answers it occurs.
    """

    proposal: Proposal
    reason: str
    votes: int


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


def elect(answers: Sequence[Sequence[Proposal]], vocabulary: Vocabulary) -> list[Elected]:
    """Every condition that can be used, those in most answers first; names of the same idea are one.

    Args:
        answers: what each request proposed.
        vocabulary: which names can be used.
    """
    groups: list[tuple[set[str], list[tuple[int, Proposal]]]] = []
    for number, answer in enumerate(answers):
        for proposal in answer:
            if vocabulary.problem(proposal.name) is not None:
                continue
            meant = ideas(proposal.name)
            # A name of several ideas ("time and weather") belongs to the first group that shares one.
            home = next((group for group in groups if group[0] & meant), None)
            if home is None:
                groups.append((meant, [(number, proposal)]))
            else:
                home[1].append((number, proposal))
    elected = [_elected(members) for _, members in groups]
    return sorted(elected, key=lambda e: -e.votes)


def unusable(answers: Sequence[Sequence[Proposal]], vocabulary: Vocabulary) -> list[Unusable]:
    """Every name that cannot be used, those in most answers first."""
    first: dict[str, Proposal] = {}
    found: Counter[str] = Counter()
    for answer in answers:
        bad = {fold(p.name): p for p in answer if vocabulary.problem(p.name) is not None}
        found.update(bad.keys())
        first = bad | first  # the older entry wins
    return [
        Unusable(first[name], vocabulary.problem(first[name].name) or "", votes) for name, votes in found.most_common()
    ]


def ideas(name: str) -> set[str]:
    """What a name speaks of: its words without function words, those for the same idea as one."""
    return {_IDEA_OF.get(word, word) for word in stems(name) - EMPTY}


def stems(text: str) -> set[str]:
    """The words of a text, without case and plural."""
    return {_stem(word) for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", fold(text))}


def in_words(name: str) -> str:
    """A name as people write it: "time of day" for "timeOfDay" and "time_of_day"."""
    return fold(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " "))


def _elected(members: list[tuple[int, Proposal]]) -> Elected:
    names = Counter(fold(proposal.name) for _, proposal in members)
    text = min(names, key=lambda name: (-names[name], len(name), name))
    first = next(proposal for _, proposal in members if fold(proposal.name) == text)
    return Elected(text, first.definition, len({number for number, _ in members}))


def _stem(word: str) -> str:
    if word in _IDEA_OF or word in EMPTY:
        return word
    if word.endswith("ies") and word[:-3] + "y" in _IDEA_OF:
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
