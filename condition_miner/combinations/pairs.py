"""Label pairs in the order in which observed co-occurrence makes them worth describing."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from math import log, sqrt

from prompt_bank.dependencies.observed import Cooccurrence

Pair = tuple[int, int]

NEIGHBOURS = 8
"""Labels drawn from those that were seen with a member, to become the next one."""
UNSEEN_DRAWS = 8
"""Pairs drawn for each combination in search of those that are frequent apart and never seen together."""


def pair_orders(observed: Cooccurrence, count: int, rng: random.Random) -> list[list[Pair]]:
    """The pairs of each kind, `count` at the most, those to be taken first in front.

    frequent  drawn without replacement, in proportion to how often they were seen together
    rare      drawn likewise, in proportion to the inverse
    together  seen together more often than chance: highest PMI first
    apart     seen together less often than chance, or never though both are frequent: lowest PMI first

    PMI is log(N·n_ab / (n_a·n_b)) over N images. So that few images cannot look surprising, n_ab is lowered by its
    standard error for "together", and raised by it for "apart".
    """
    pairs = sorted(observed.of_pair.items())  # so that the order of the images doesn't matter
    apart = sorted({pair for pair, _ in pairs} | _unseen(observed, count, rng))
    return [
        [pair for _, pair in heapq.nsmallest(count, _drawn(pairs, 1, rng))],
        [pair for _, pair in heapq.nsmallest(count, _drawn(pairs, -1, rng))],
        _ranked({pair: -_surprise(observed, pair, n - sqrt(n)) for pair, n in pairs}, count),
        _ranked({p: _surprise(observed, p, (n := observed.of_pair.get(p, 0)) + sqrt(n + 1)) for p in apart}, count),
    ]


def extend(pair: Pair, size: int, observed: Cooccurrence, uses: Sequence[int], rng: random.Random) -> tuple[int, ...]:
    """The pair and further labels that were seen with a member, those in few combinations first."""
    members = list(pair)
    while len(members) < size:
        drawn = [label for member in members for label in observed.seen_with(member, NEIGHBOURS, rng)]
        drawn = [label for label in drawn if label not in members]
        if not drawn:
            drawn = [label for label in rng.sample(range(len(uses)), min(len(uses), 24)) if label not in members]
        if not drawn:
            drawn = [label for label in range(len(uses)) if label not in members]
        members.append(min(drawn, key=uses.__getitem__))
    return tuple(members)


def _drawn(pairs: list[tuple[Pair, int]], power: int, rng: random.Random) -> Iterator[tuple[float, Pair]]:
    """Keys whose smallest are a draw without replacement with weights count^power (Efraimidis and Spirakis 2006)."""
    for pair, count in pairs:
        yield -log(1 - rng.random()) * count**-power, pair


def _unseen(observed: Cooccurrence, count: int, rng: random.Random) -> set[Pair]:
    """Pairs never seen together, drawn by how frequent their labels are; not all C² of them are looked at."""
    frequent = [i for i, n in enumerate(observed.of_label) if n]
    if not frequent:
        return set()
    weights = [observed.of_label[i] for i in frequent]
    drawn = rng.choices(frequent, weights, k=2 * UNSEEN_DRAWS * count)
    pairs = {(min(a, b), max(a, b)) for a, b in zip(drawn[::2], drawn[1::2], strict=True) if a != b}
    return pairs - observed.of_pair.keys()


def _surprise(observed: Cooccurrence, pair: Pair, together: float) -> float:
    a, b = (observed.of_label[label] for label in pair)
    return log(together * observed.images / (a * b)) if together > 0 else -float("inf")


def _ranked(value: dict[Pair, float], count: int) -> list[Pair]:
    """The pairs with the smallest values below 0, those alone are on the side of chance that is looked for."""
    return heapq.nsmallest(count, (pair for pair, v in value.items() if v < 0), key=lambda pair: (value[pair], pair))
