"""One list of conditions out of many proposals: filtered, merged and voted here, since small models do it badly.

A small model names the same idea in many ways ("location", "place setting", "the background"). Names are compared by
their words: function words are dropped, endings are cut, and words for the same idea count as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from condition_miner.stages.vocabulary import Vocabulary, ideas
from fedmpt.common.words import fold


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


def _elected(members: list[tuple[int, Proposal]]) -> Elected:
    names = Counter(fold(proposal.name) for _, proposal in members)
    text = min(names, key=lambda name: (-names[name], len(name), name))
    first = next(proposal for _, proposal in members if fold(proposal.name) == text)
    return Elected(text, first.definition, len({number for number, _ in members}))
