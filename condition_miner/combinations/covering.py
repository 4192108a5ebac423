"""Distinct combinations of C labels under construction, with how often each label is in one. Labels are 0 … C-1."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations as subsets
from math import comb

CORE = 2
"""Places at a combination's beginning that are exchanged last: where a pair stands for its own sake."""
DRAWS = 100
"""Random subsets that are tried before the first free one is looked up."""

Combination = tuple[int, ...]


class Design:
    """Combinations that differ from each other as sets.

    Args:
        labels: C.
    """

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.chosen: list[Combination] = []
        self.uses = [0] * labels
        self._sets: set[frozenset[int]] = set()

    def __contains__(self, members: Iterable[int]) -> bool:
        return frozenset(members) in self._sets

    def add(self, members: Iterable[int]) -> None:
        """Append a combination that is not there yet."""
        combination = tuple(members)
        self.chosen.append(combination)
        self._sets.add(frozenset(combination))
        for label in combination:
            self.uses[label] += 1

    def free(self, size: int, rng: random.Random) -> Combination:
        """A combination of this size that is not there yet; there must be one.

        Random while that is likely to succeed, then the first in order: found after as many steps as were chosen.
        """
        for _ in range(DRAWS):
            drawn = tuple(rng.sample(range(self.labels), size))
            if drawn not in self:
                return drawn
        return next(members for members in subsets(range(self.labels), size) if members not in self)

    def raise_uses(self, least: int) -> None:
        """Exchange members until every label is in `least` combinations or more.

        `least` may be the mean of the uses at the most. Then some label is used more often than one that lacks uses,
        so it has more combinations without the other one than the other has without it: putting the other one in
        its place cannot lead to a combination that is there already in each of them.
        """
        # Per label where it stands: first those places that are exchanged first.
        places: list[tuple[dict[int, None], dict[int, None]]] = [({}, {}) for _ in range(self.labels)]
        for index, combination in enumerate(self.chosen):
            for place, label in enumerate(combination):
                places[label][place < CORE][index] = None
        for label in range(self.labels):
            while self.uses[label] < least:
                donor = max(range(self.labels), key=self.uses.__getitem__)
                self._exchange(donor, label, places)

    def _exchange(self, donor: int, label: int, places: list[tuple[dict[int, None], dict[int, None]]]) -> None:
        for core, indices in enumerate(places[donor]):
            for index in indices:
                old = self.chosen[index]
                new = tuple(label if member == donor else member for member in old)
                if label in old or new in self:
                    continue
                self.chosen[index] = new
                self._sets.remove(frozenset(old))
                self._sets.add(frozenset(new))
                self.uses[donor] -= 1
                self.uses[label] += 1
                del indices[index]
                places[label][core][index] = None
                return
        raise AssertionError("more uses were asked for than there are places")


def sizes(labels: int, count: int, largest: int) -> list[int]:
    """How many labels each combination has: two to `largest` by turns, as long as there are distinct ones."""
    room = {size: comb(labels, size) for size in range(2, min(largest, labels) + 1)}
    found: list[int] = []
    while room and len(found) < count:
        for size in list(room)[: count - len(found)]:
            found.append(size)
            room[size] -= 1
            if not room[size]:
                del room[size]
    return found
