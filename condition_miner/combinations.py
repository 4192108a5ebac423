"""Which label combinations are described: a seeded covering design. C labels, linear in the number of combinations."""

from __future__ import annotations

import random
from itertools import combinations as pairs_of

CANDIDATES = 24
"""Labels that are tried for each place; the one that brings most new pairs is taken."""


def covering_design(labels: tuple[str, ...], count: int, largest: int, seed: int) -> list[tuple[str, ...]]:
    """Combinations of two to `largest` labels in which every label occurs about equally often, and many pairs.

    A single label stands alone. No more combinations are made than differ from each other.

    Args:
        labels: C distinct names.
        count: how many combinations at the most.
        largest: labels of a combination at the most.
        seed: draws the design.

    Returns:
        Distinct combinations, each in the order of `labels`.
    """
    if len(labels) == 1:
        return [labels]
    rng = random.Random(seed)
    used = dict.fromkeys(labels, 0)
    seen: set[tuple[str, str]] = set()
    chosen: dict[tuple[str, ...], None] = {}
    order = {label: i for i, label in enumerate(labels)}
    waiting: list[str] = []
    failures = 0
    while len(chosen) < count and failures < 50:
        if not waiting:
            waiting = rng.sample(labels, len(labels))
        first = waiting.pop()
        members = [first]
        size = min(rng.randint(2, largest), len(labels))
        while len(members) < size:
            members.append(_best(rng, labels, members, used, seen))
        combination = tuple(sorted(members, key=order.__getitem__))
        if combination in chosen:
            failures += 1
            continue
        failures = 0
        chosen[combination] = None
        seen.update(pairs_of(combination, 2))
        for label in combination:
            used[label] += 1
    return list(chosen)


def _best(
    rng: random.Random,
    labels: tuple[str, ...],
    members: list[str],
    used: dict[str, int],
    seen: set[tuple[str, str]],
) -> str:
    """Of some labels, the one with most unseen pairs to the members, then the one used least."""
    drawn = rng.sample(labels, min(CANDIDATES, len(labels)))
    free = [label for label in drawn if label not in members] or [x for x in labels if x not in members]

    def gain(label: str) -> tuple[int, int]:
        new = sum((m, label) not in seen and (label, m) not in seen for m in members)
        return new, -used[label]

    return max(free, key=gain)
