"""Exact co-occurrence in the natural world, against many samples and against enumeration for a few labels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.data.test_natural_scenes import WORLD, drawn, matrix, natural
from trainer.data.scenes import NaturalWorld
from trainer.data.scenes.natural import CONDITIONS, Circumstances, everywhere
from trainer.data.scenes.objects import CLASSES
from trainer.data.scenes.occurrence import Occurrence, by_value, occurrence
from trainer.data.scenes.rules import MAX_LABELS


@pytest.mark.parametrize("site", [None, 0, 1, 4])
def test_it_is_what_many_draws_show(site: int | None) -> None:
    """Over 300 numbers, the largest deviation of 20,000 draws stays within 4.5 standard deviations."""
    found, count = occurrence(WORLD.circumstances(site)), 20_000
    labels = matrix(drawn(WORLD.circumstances(site), count))
    spread = np.sqrt(found.pairs * (1 - found.pairs) / count)
    assert (np.abs(labels.T @ labels / count - found.pairs) <= 4.5 * spread + 1e-12).all()
    assert np.array_equal(found.pairs, found.pairs.T)
    assert np.array_equal(found.pairs.diagonal(), found.single)


def test_the_data_set_is_drawn_from_it() -> None:
    world = natural()
    default = NaturalWorld(0, 6, 300, 0.9, 0.6)
    for site, labels in [(None, world.test.labels), (3, world.train.labels[world.train.sites == 3])]:
        found = occurrence(default.circumstances(site)).single
        spread = np.sqrt(found * (1 - found) / len(labels))
        assert (np.abs(labels.mean(0) - found) <= 4 * spread).all()


@settings(max_examples=30, deadline=None)
@given(
    chances=st.lists(st.floats(0.02, 0.98), min_size=6, max_size=6),
    ties=st.floats(0, 1),
    order=st.permutations(range(6)),
)
def test_it_is_exact(chances: list[float], ties: float, order: list[int]) -> None:
    """Against every way in which six labels can be drawn and three pairs be tied."""
    p, pairs = np.array(chances), np.array(order).reshape(3, 2)
    total, expected = 0.0, np.zeros((6, 6))
    for there in product((0, 1), repeat=6):
        drawn_ = np.array(there)
        weight = np.prod(np.where(drawn_, p, 1 - p))
        for fates in product(("free", "both", "neither"), repeat=3):
            labels, share = drawn_.copy(), weight
            for pair, fate in zip(pairs, fates, strict=True):
                share = share * (1 - ties if fate == "free" else ties / 2)
                if fate != "free" and drawn_[pair].sum() == 1:
                    labels[pair] = fate == "both"
            if 1 <= labels.sum() <= MAX_LABELS:
                total += share
                expected += share * np.outer(labels, labels)
    shape = (1, 1, 1, 1)
    found = occurrence(Circumstances(np.ones(shape), p.reshape(*shape, 6), np.array([ties]), pairs))
    assert np.allclose(found.pairs, expected / total, atol=1e-9)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_values_add_up_to_the_whole(condition: str) -> None:
    for site in (None, 2):
        circumstances = WORLD.circumstances(site)
        shares = by_value(circumstances, condition)
        assert set(shares) <= set(CONDITIONS[condition])
        assert sum(share for share, _ in shares.values()) == pytest.approx(1)
        whole = sum(share * row for share, row in shares.values())
        assert np.allclose(whole, occurrence(circumstances).single)


def test_common_causes_tie_labels() -> None:
    lift = occurrence(everywhere(0.1)).lift()
    pair = lambda a, b: lift[CLASSES.index(a), CLASSES.index(b)]  # noqa: E731
    assert min(pair("cow", "sheep"), pair("sofa", "tv monitor"), pair("dining table", "cup")) > 2
    assert max(pair("cow", "sofa"), pair("boat", "train"), pair("aeroplane", "dining table")) < 0.5


def test_lift_is_unknown_where_a_label_never_occurs() -> None:
    lift = Occurrence(np.array([0.5, 0.0]), np.diag([0.5, 0.0])).lift()
    assert lift[0, 0] == 2
    assert np.isnan(lift[1]).all()
