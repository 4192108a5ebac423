"""Choice of label combinations: balance, coverage, kinds of pairs, determinism."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condition_miner.combinations.choosing import choose_combinations
from condition_miner.combinations.covering import Design, combination_sizes
from condition_miner.combinations.pairs import rank_pairs
from prompt_bank.dependencies.observed import Cooccurrence


def named(count: int) -> tuple[str, ...]:
    return tuple(f"l{i}" for i in range(count))


def counted(images: list[set[int]], labels: int) -> Cooccurrence:
    label_counts = Counter(label for image in images for label in image)
    pair_counts = Counter(pair for image in images for pair in combinations(sorted(image), 2))
    return Cooccurrence("x", "sha256:", len(images), tuple(label_counts[i] for i in range(labels)), dict(pair_counts))


def uses(names: tuple[str, ...], chosen: list[tuple[str, ...]]) -> list[int]:
    used = Counter(name for combination in chosen for name in combination)
    return [used[name] for name in names]


DESIGNS = {
    "labels": st.integers(2, 40),
    "count": st.integers(1, 150),
    "largest": st.integers(2, 4),
    "seed": st.integers(0, 99),
}


def check_form(names: tuple[str, ...], chosen: list[tuple[str, ...]], count: int, largest: int) -> None:
    """Distinct, sorted combinations of two to `largest` labels: as many as requested, or all that exist."""
    room = {size: comb(len(names), size) for size in range(2, min(largest, len(names)) + 1)}
    assert len(chosen) == min(count, sum(room.values()))
    assert len({frozenset(c) for c in chosen}) == len(chosen)
    assert all(len(set(c)) == len(c) and list(c) == sorted(c, key=names.index) for c in chosen)
    of_size = Counter(len(c) for c in chosen)
    assert set(of_size) <= set(room)
    open_sizes = [size for size in room if of_size[size] < room[size]]
    assert not open_sizes or max(of_size.values()) - min(of_size[s] for s in open_sizes) <= 1 or len(open_sizes) == 1


@settings(max_examples=80, deadline=None)
@given(**DESIGNS)
def test_every_label_is_used_equally_often(labels: int, count: int, largest: int, seed: int) -> None:
    names = named(labels)
    chosen = choose_combinations(names, count, largest, seed)
    check_form(names, chosen, count, largest)
    assert min(uses(names, chosen)) >= sum(map(len, chosen)) // labels
    assert chosen == choose_combinations(names, count, largest, seed)


@settings(max_examples=80, deadline=None)
@given(
    **DESIGNS,
    images=st.lists(st.sets(st.integers(0, 39), max_size=6), max_size=60),
)
def test_with_cooccurrence_half_of_the_places_still_cover_the_labels(
    labels: int, count: int, largest: int, seed: int, images: list[set[int]]
) -> None:
    names = named(labels)
    observed = counted([{label % labels for label in image} for image in images], labels)
    chosen = choose_combinations(names, count, largest, seed, observed)
    check_form(names, chosen, count, largest)
    places = sum(map(len, chosen))
    assert min(uses(names, chosen)) >= places // (2 * labels)
    assert min(uses(names, chosen)) >= 1 or places < labels
    assert chosen == choose_combinations(names, count, largest, seed, observed)


def test_the_order_of_the_images_does_not_matter() -> None:
    rng = random.Random(0)
    images = [set(rng.sample(range(20), 3)) for _ in range(200)]
    names = named(20)
    first = choose_combinations(names, 30, 3, 1, counted(images, 20))
    assert first == choose_combinations(names, 30, 3, 1, counted(images[::-1], 20))
    assert first != choose_combinations(names, 30, 3, 2, counted(images, 20))


@pytest.mark.parametrize(("labels", "count", "largest"), [(12, 40, 3), (20, 40, 3), (80, 200, 4)])
def test_nearly_all_pairs_are_new(labels: int, count: int, largest: int) -> None:
    """A combination of n labels has n(n-1)/2 pairs; more than 85 % of them are new as long as there are enough."""
    chosen = choose_combinations(named(labels), count, largest, 0)
    seen = {pair for c in chosen for pair in combinations(c, 2)}
    possible = min(labels * (labels - 1) // 2, sum(comb(len(c), 2) for c in chosen))
    assert len(seen) > 0.85 * possible


def test_thousand_labels_and_ten_thousand_combinations() -> None:
    names = named(1000)
    chosen = choose_combinations(names, 10_000, 4, 0)
    assert min(uses(names, chosen)) >= 29
    rng = random.Random(0)
    observed = counted([set(rng.sample(range(1000), 5)) for _ in range(5000)], 1000)
    followed = choose_combinations(names, 10_000, 4, 0, observed)
    check_form(names, followed, 10_000, 4)
    assert min(uses(names, followed)) >= 14


def test_one_label_stands_alone() -> None:
    assert choose_combinations(("cat",), 10, 3, 0) == [("cat",)]


def test_pairs_of_each_kind() -> None:
    """0 and 1 are in nearly all images and together as chance has it; 2 and 3 always come together; 4 and 5 are
    frequent and never meet; 6 and 7 met once."""
    images = [{0, 1} for _ in range(800)]
    images += [{2, 3} for _ in range(40)]
    images += [{0, 4} for _ in range(80)] + [{1, 5} for _ in range(80)] + [{6, 7}]
    frequent, rare, together, apart = rank_pairs(counted(images, 8), 4, random.Random(0))
    assert frequent[0] == (0, 1)
    assert rare[0] == (6, 7)
    assert together[0] == (2, 3)
    assert (6, 7) not in together
    assert apart[0] == (1, 4) or apart[0] == (0, 5)
    assert (4, 5) in rank_pairs(counted(images, 8), 50, random.Random(0))[3]
    assert (0, 1) not in apart


def test_combinations_follow_what_was_seen() -> None:
    """Two worlds that never meet: most combinations stay inside one, and some ask for what is never seen together."""
    rng = random.Random(0)
    images = [set(rng.sample(range(base, base + 10), 3)) for base in (0, 10) for _ in range(300)]
    names = named(20)
    chosen = choose_combinations(names, 60, 3, 0, counted(images, 20))
    inside = [len({names.index(name) // 10 for name in c}) == 1 for c in chosen]
    assert 0.5 < sum(inside) / len(inside) < 0.9
    plain = choose_combinations(names, 60, 3, 0)
    assert sum(len({names.index(name) // 10 for name in c}) == 1 for c in plain) < 0.5 * sum(inside)


def test_sizes_take_turns() -> None:
    assert combination_sizes(10, 7, 4) == [2, 3, 4, 2, 3, 4, 2]
    assert combination_sizes(3, 99, 4) == [2, 3, 2, 2]
    assert combination_sizes(2, 99, 4) == [2]


@given(st.integers(4, 9), st.integers(0, 50))
def test_exchanges_keep_sizes_and_differences(labels: int, seed: int) -> None:
    """All combinations of labels 0 and 1 with others, and none without: uses are raised to the mean all the same."""
    design = Design(labels)
    for members in combinations(range(labels), 3):
        if {0, 1} & set(members):
            design.add(members)
    before = Counter(map(len, design.chosen))
    design.ensure_uses(sum(design.uses) // labels)
    assert min(design.uses) >= sum(design.uses) // labels
    assert len({frozenset(c) for c in design.chosen}) == len(design.chosen)
    assert Counter(map(len, design.chosen)) == before
    assert design.uses == [sum(label in c for c in design.chosen) for label in range(labels)]
