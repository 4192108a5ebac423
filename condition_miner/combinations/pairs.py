"""Ranks label pairs by their observed co-occurrence, in four ways."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from math import log, sqrt

from prompt_bank.dependencies.observed import Cooccurrence

Pair = tuple[int, int]

NEIGHBOUR_DRAWS = 8
"""Candidates for the next label, drawn from those observed together with a member."""
UNSEEN_DRAWS = 8
"""Pairs drawn per combination to find labels that are frequent but were never observed together."""


def rank_pairs(observed: Cooccurrence, count: int, rng: random.Random) -> list[list[Pair]]:
    """Four rankings of at most `count` pairs each, the pairs to describe first in front.

    frequent  drawn without replacement, with weights n_ab
    rare      drawn without replacement, with weights 1 / n_ab
    together  co-occurring more often than by chance, highest PMI first
    apart     co-occurring less often than by chance, or never although both are frequent, lowest PMI first

    PMI (pointwise mutual information) is log(N·n_ab / (n_a·n_b)) over N images. So that counts of few images are not
    taken for evidence, n_ab is lowered by its standard error for "together", and raised by it for "apart".
    """
    pairs = sorted(observed.pair_counts.items())  # independent of the order of the images
    apart = sorted({pair for pair, _ in pairs} | _unseen_pairs(observed, count, rng))
    return [
        [pair for _, pair in heapq.nsmallest(count, _sampling_keys(pairs, 1, rng))],
        [pair for _, pair in heapq.nsmallest(count, _sampling_keys(pairs, -1, rng))],
        _lowest_negative({pair: -_pmi(observed, pair, n - sqrt(n)) for pair, n in pairs}, count),
        _lowest_negative(
            {p: _pmi(observed, p, (n := observed.pair_counts.get(p, 0)) + sqrt(n + 1)) for p in apart}, count
        ),
    ]


def extend_pair(
    pair: Pair, size: int, observed: Cooccurrence, uses: Sequence[int], rng: random.Random
) -> tuple[int, ...]:
    """The pair and further labels observed together with one of its members, the least used ones first."""
    members = list(pair)
    while len(members) < size:
        drawn = [label for member in members for label in observed.seen_with(member, NEIGHBOUR_DRAWS, rng)]
        drawn = [label for label in drawn if label not in members]
        if not drawn:
            drawn = [label for label in rng.sample(range(len(uses)), min(len(uses), 24)) if label not in members]
        if not drawn:
            drawn = [label for label in range(len(uses)) if label not in members]
        members.append(min(drawn, key=uses.__getitem__))
    return tuple(members)


def _sampling_keys(pairs: list[tuple[Pair, int]], power: int, rng: random.Random) -> Iterator[tuple[float, Pair]]:
    """Keys whose smallest are a sample without replacement, weights count^power (Efraimidis and Spirakis, 2006)."""
    for pair, count in pairs:
        yield -log(1 - rng.random()) * count**-power, pair


def _unseen_pairs(observed: Cooccurrence, count: int, rng: random.Random) -> set[Pair]:
    """A sample of the pairs never observed together, drawn by the frequency of their labels; C² pairs are too many."""
    frequent = [i for i, n in enumerate(observed.label_counts) if n]
    if not frequent:
        return set()
    weights = [observed.label_counts[i] for i in frequent]
    drawn = rng.choices(frequent, weights, k=2 * UNSEEN_DRAWS * count)
    pairs = {(min(a, b), max(a, b)) for a, b in zip(drawn[::2], drawn[1::2], strict=True) if a != b}
    return pairs - observed.pair_counts.keys()


def _pmi(observed: Cooccurrence, pair: Pair, together: float) -> float:
    a, b = (observed.label_counts[label] for label in pair)
    return log(together * observed.images / (a * b)) if together > 0 else -float("inf")


def _lowest_negative(value: dict[Pair, float], count: int) -> list[Pair]:
    """The pairs with the lowest values below 0, in order."""
    return heapq.nsmallest(count, (pair for pair, v in value.items() if v < 0), key=lambda pair: (value[pair], pair))
