"""A covering design: distinct combinations of C labels, and how often each label is used. Labels are 0 … C-1."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations as subsets
from math import comb

PAIR_PLACES = 2
"""The first places of a combination, which hold the observed pair it was built around; exchanged last."""
RANDOM_DRAWS = 100
"""Random combinations to try before the unused ones are enumerated."""

Combination = tuple[int, ...]


class Design:
    """Combinations that are distinct as sets.

    Args:
        labels: C, the number of labels.

    Attributes:
        chosen: the combinations.
        uses: for each label the number of combinations that contain it.
    """

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.chosen: list[Combination] = []
        self.uses = [0] * labels
        self._sets: set[frozenset[int]] = set()

    def __contains__(self, members: Iterable[int]) -> bool:
        return frozenset(members) in self._sets

    def add(self, members: Iterable[int]) -> None:
        """Append a new combination."""
        combination = tuple(members)
        self.chosen.append(combination)
        self._sets.add(frozenset(combination))
        for label in combination:
            self.uses[label] += 1

    def draw_unused(self, size: int, rng: random.Random) -> Combination:
        """A combination of this size that is not in the design; there must be one.

        It is random if some random draws find one, else the first in lexicographic order.
        """
        for _ in range(RANDOM_DRAWS):
            drawn = tuple(rng.sample(range(self.labels), size))
            if drawn not in self:
                return drawn
        return next(members for members in subsets(range(self.labels), size) if members not in self)

    def ensure_uses(self, least: int) -> None:
        """Exchange labels until each is in at least `least` combinations.

        `least` must not exceed the mean of the uses. Then a label below it (L) has fewer uses than some label D, so D
        has more combinations without L than L has without D. Hence in at least one of them D can be replaced by L
        without producing a combination that is in the design already.
        """
        # For each label the combinations that contain it: in an ordinary place, and in one of the pair's places.
        places: list[tuple[dict[int, None], dict[int, None]]] = [({}, {}) for _ in range(self.labels)]
        for index, combination in enumerate(self.chosen):
            for place, label in enumerate(combination):
                places[label][place < PAIR_PLACES][index] = None
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


def combination_sizes(labels: int, count: int, largest: int) -> list[int]:
    """The size of each combination: 2 … `largest` in turn, as long as there are distinct combinations of that size."""
    room = {size: comb(labels, size) for size in range(2, min(largest, labels) + 1)}
    found: list[int] = []
    while room and len(found) < count:
        for size in list(room)[: count - len(found)]:
            found.append(size)
            room[size] -= 1
            if not room[size]:
                del room[size]
    return found
