"""Drawn parts have their size, depend on the seed, and lack no label that could be in both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.drawing import draw_images


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(0, 5), st.floats(0, 1), st.integers(0, 9), st.floats(0, 1))
def test_as_many_as_asked(images: int, labels: int, share: float, seed: int, density: float) -> None:
    drawn_labels = (np.random.default_rng(seed).random((images, labels)) < density).astype(np.int8)
    count = round(share * images)
    drawn = draw_images(drawn_labels, count, np.random.default_rng(seed))
    assert len(set(drawn.tolist())) == count
    assert drawn.tolist() == sorted(drawn.tolist())
    assert drawn.tolist() == draw_images(drawn_labels, count, np.random.default_rng(seed)).tolist()


@pytest.mark.parametrize("seed", range(30))
def test_rare_labels_are_on_both_sides(seed: int) -> None:
    """Four labels on two images each of forty, four drawn; a plain draw has them all once in thousands of times."""
    labels = np.zeros((40, 4), np.int8)
    where = np.random.default_rng(seed).permutation(40)[:8]
    labels[where, np.arange(8) % 4] = 1
    drawn = draw_images(labels, 4, np.random.default_rng(seed))
    assert (labels[drawn].sum(0) == 1).all()


def test_frequent_labels_are_drawn_plainly() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (400, 5), np.int8)
    plain = np.random.default_rng(3).permutation(400)[:80]
    assert draw_images(labels, 80, np.random.default_rng(3)).tolist() == sorted(plain.tolist())
