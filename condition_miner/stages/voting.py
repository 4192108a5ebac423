"""Votes on the proposed conditions: filters, merges and ranks them in code, since small models do this badly.

A small model gives the same condition many names ("location", "place setting", "the background"). Names are compared
by their concepts: stop words are dropped, plurals reduced, and synonyms merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from condition_miner.stages.vocabulary import Vocabulary, concepts
from fedmpt.common.words import fold


@dataclass(frozen=True)
class Proposal:
    """A condition proposed in one answer."""

    name: str
    definition: str


@dataclass(frozen=True)
class ElectedCondition:
    """A condition with its votes.

    Attributes:
        text: its most frequent name.
        definition: definition of the first proposal with that name.
        votes: the number of answers that propose it.
    """

    text: str
    definition: str
    votes: int


@dataclass(frozen=True)
class UnusableName:
    """A proposed name that no condition may have, with its votes.

    Attributes:
        proposal: the first proposal with that name.
        reason: why it is unusable; the model reads it and gives another name.
        votes: the number of answers that propose it.
    """

    proposal: Proposal
    reason: str
    votes: int


def elect(answers: Sequence[Sequence[Proposal]], vocabulary: Vocabulary) -> list[ElectedCondition]:
    """The usable conditions, those with most votes first. Names with a common concept are merged.

    Args:
        answers: the proposals of each answer.
        vocabulary: decides which names are usable.
    """
    groups: list[tuple[set[str], list[tuple[int, Proposal]]]] = []
    for number, answer in enumerate(answers):
        for proposal in answer:
            if vocabulary.problem(proposal.name) is not None:
                continue
            meant = concepts(proposal.name)
            # A name of several concepts ("time and weather") joins the first group that shares one of them.
            home = next((group for group in groups if group[0] & meant), None)
            if home is None:
                groups.append((meant, [(number, proposal)]))
            else:
                home[1].append((number, proposal))
    elected = [_merge(members) for _, members in groups]
    return sorted(elected, key=lambda e: -e.votes)


def unusable_names(answers: Sequence[Sequence[Proposal]], vocabulary: Vocabulary) -> list[UnusableName]:
    """The unusable names, those with most votes first."""
    first: dict[str, Proposal] = {}
    found: Counter[str] = Counter()
    for answer in answers:
        bad = {fold(p.name): p for p in answer if vocabulary.problem(p.name) is not None}
        found.update(bad.keys())
        first = bad | first  # an earlier proposal wins
    return [
        UnusableName(first[name], vocabulary.problem(first[name].name) or "", votes)
        for name, votes in found.most_common()
    ]


def _merge(members: list[tuple[int, Proposal]]) -> ElectedCondition:
    names = Counter(fold(proposal.name) for _, proposal in members)
    text = min(names, key=lambda name: (-names[name], len(name), name))
    first = next(proposal for _, proposal in members if fold(proposal.name) == text)
    return ElectedCondition(text, first.definition, len({number for number, _ in members}))
