"""Spurious activation by hand, against plain counting, and of a model that has learned a tied pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.base import Split
from trainer.evaluation.spurious import activation_interval, spurious_activation, tied_pairs
from trainer.seeding import numpy_generator


def split(labels: np.ndarray, sites: np.ndarray) -> Split:
    ids = tuple(f"{index:04d}" for index in range(len(labels)))
    return Split("train", ids, labels.astype(np.int8), sites, lambda index: None)


def tied_site() -> Split:
    """Site 0 shows labels 0 and 1 together on 12 of 40 images, never alone; at site 1 they are independent."""
    first = np.zeros((40, 3))
    first[:12, :2] = 1
    first[:20, 2] = 1
    second = np.array([[a, b, 0] for a in (0, 1) for b in (0, 1)] * 20)
    return split(np.concatenate([first, second]), np.repeat([0, 1], [40, 80]))


def test_pairs_are_those_of_a_site() -> None:
    """Lift of 0 and 1 at site 0: (12/40) / (12/40)^2. Label 2 is present on half of the images: its lift is 2."""
    found = tied_pairs(tied_site())
    assert found == pytest.approx({(0, 1): 40 / 12, (1, 0): 40 / 12, (0, 2): 2, (2, 0): 2, (1, 2): 2, (2, 1): 2})
    assert tied_pairs(tied_site(), torch.tensor([0, 2])) == pytest.approx({(0, 2): 2, (2, 0): 2})


def test_few_images_and_unknown_labels_tie_nothing() -> None:
    labels = np.zeros((40, 2))
    labels[:9] = 1
    assert tied_pairs(split(labels, np.zeros(40, int))) == {}
    labels[:12] = 1
    assert tied_pairs(split(labels, np.zeros(40, int)))
    labels[6:12, 0] = -1
    assert tied_pairs(split(labels, np.zeros(40, int))) == {}


def test_by_hand() -> None:
    """b is absent on five images; claimed on one of two with a, and on one of three without."""
    labels = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 0], [0, 0], [1, 1]])
    predicted = torch.tensor([[1, 1], [1, 0], [0, 1], [0, 0], [0, 0], [1, 1]]).bool()
    found = spurious_activation({(0, 1): 4.0, (1, 0): 4.0}, predicted, labels, ("a", "b"))
    assert (found["pairs"], found["measured"]) == (2, 1)  # where a is absent, b never is present
    (row,) = found["each"]
    assert (row["present"], row["claimed"], row["site_lift"]) == ("a", "b", 4.0)
    assert row["activation"] == found["mean"] == pytest.approx(100 * (1 / 2 - 1 / 3))
    assert row["true_association"] == pytest.approx(100 * (1 / 3 - 0))
    assert spurious_activation({}, predicted, labels, ("a", "b")) is None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_perfect_model_has_none_and_a_model_that_follows_the_pair_has_all(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(60, 4, generator=generator) < 0.4).long()
    pairs = {(0, 1): 3.0, (2, 3): 3.0}
    perfect = spurious_activation(pairs, labels == 1, labels)
    assert perfect["mean"] == 0
    follower = labels.clone()
    follower[:, 1] |= labels[:, 0]
    follower[:, 3] |= labels[:, 2]
    assert spurious_activation(pairs, follower == 1, labels)["mean"] == 100


def test_interval_holds_the_mean_and_is_plain_resampling() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(200, 4, generator=generator) < 0.4).long()
    predicted = (torch.rand(200, 4, generator=generator) < 0.3) | ((labels[:, [1, 0, 3, 2]] == 1) & (labels == 0))
    pairs = {(0, 1): 3.0, (2, 3): 3.0, (1, 0): 2.0}
    arguments = {"resamples": 100, "level": 0.9}
    low, high = activation_interval(pairs, predicted, labels, **arguments, generator=numpy_generator(0, "b"))
    assert low < spurious_activation(pairs, predicted, labels)["mean"] < high
    again = numpy_generator(0, "b").integers(0, 200, size=(100, 200))
    means = [spurious_activation(pairs, predicted[rows], labels[rows])["mean"] for rows in torch.from_numpy(again)]
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.05, 0.95])))
    nothing = torch.zeros(5, 4).long()
    assert activation_interval(pairs, nothing == 1, nothing, **arguments, generator=numpy_generator(0, "b")) is None
