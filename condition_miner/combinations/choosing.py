"""Chooses the label combinations to describe. C labels; time and memory linear in the number of combinations."""

from __future__ import annotations

import random
from itertools import combinations as subsets

from condition_miner.combinations.covering import Design, combination_sizes
from condition_miner.combinations.pairs import extend_pair, rank_pairs
from prompt_bank.dependencies.observed import Cooccurrence

CANDIDATES = 24
"""Labels tried for each place; the one that adds most new pairs is taken."""

Pair = tuple[int, int]


def choose_combinations(
    labels: tuple[str, ...], count: int, largest: int, seed: int, observed: Cooccurrence | None = None
) -> list[tuple[str, ...]]:
    """Distinct combinations of two to `largest` labels; of one label, that label alone.

    The sizes alternate, so their mean m is that of 2 … `largest` as long as there are enough distinct combinations.
    Without `observed` every label is in at least count·m // C combinations. With `observed` it is in at least half as
    many (and in at least one if there are C places); the other half follows the co-occurrence in the images.

    Args:
        labels: C distinct names.
        count: the number of combinations; fewer if there are not so many distinct ones.
        largest: the most labels in a combination.
        seed: seed of the random choices.
        observed: co-occurrence counts, in the order of `labels`.

    Returns:
        Distinct combinations, each in the order of `labels`.
    """
    if len(labels) == 1:
        return [labels]
    rng = random.Random(seed)
    wanted = combination_sizes(len(labels), count, largest)
    design = Design(len(labels))
    places = sum(wanted)
    if observed is None:
        _cover(design, wanted, rng)
        design.ensure_uses(places // len(labels))
    else:
        _cover(design, _follow_observed(design, wanted, rng, observed), rng)
        design.ensure_uses(max(places // (2 * len(labels)), min(1, places // len(labels))))
    return [tuple(labels[i] for i in sorted(combination)) for combination in design.chosen]


def _cover(design: Design, wanted: list[int], rng: random.Random) -> None:
    """Add combinations of the wanted sizes that use all labels equally often and cover as many pairs as possible."""
    seen: set[Pair] = {_pair(a, b) for combination in design.chosen for a, b in subsets(combination, 2)}
    waiting: list[int] = []
    for size in wanted:
        members: list[int] = []
        while len(members) < size:
            if all(label in members for label in waiting):
                waiting += rng.sample(range(design.labels), design.labels)
            members.append(_take_best(rng, waiting, members, seen))
        if members in design:
            waiting += members
            members = list(design.draw_unused(size, rng))
        design.add(members)
        seen.update(_pair(a, b) for a, b in subsets(members, 2))


def _take_best(rng: random.Random, waiting: list[int], members: list[int], seen: set[Pair]) -> int:
    """Remove from `waiting` the label with the most new pairs to the members, among randomly drawn candidates."""
    drawn = rng.sample(range(len(waiting)), min(CANDIDATES, len(waiting)))
    free = [i for i in drawn if waiting[i] not in members] or [i for i, x in enumerate(waiting) if x not in members]
    best = max(free, key=lambda i: sum(_pair(member, waiting[i]) not in seen for member in members))
    waiting[best], waiting[-1] = waiting[-1], waiting[best]
    return waiting.pop()


def _follow_observed(design: Design, wanted: list[int], rng: random.Random, observed: Cooccurrence) -> list[int]:
    """Add combinations around observed pairs, each kind of pair in turn. Returns the sizes left without a pair."""
    orders = [iter(order) for order in rank_pairs(observed, len(wanted), rng)]
    taken: set[Pair] = set()
    for turn, size in enumerate(wanted):
        pair = None
        for kind in range(len(orders)):
            order = orders[(turn + kind) % len(orders)]
            pair = next((found for found in order if found not in taken), None)
            if pair is not None:
                break
        if pair is None:
            return wanted[turn:]
        taken.add(pair)
        members = extend_pair(pair, size, observed, design.uses, rng)
        design.add(members if members not in design else design.draw_unused(size, rng))
    return []


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)
