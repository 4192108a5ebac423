"""Dependencies derived from affinities, and their carriers."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from prompt_bank.dependencies.predicting import carriers, derive_dependencies, predict_scores
from prompt_bank.editing import edits as editing
from prompt_bank.errors import BankError
from prompt_bank.schema import Affinity, Bank, Condition, Label
from tests.prompt_bank.dependencies.made import bank


def kitchen() -> Bank:
    """Forks and knives are in restaurants and kitchens, for eating; cars in streets; trees were not asked."""
    place = Affinity(
        rows={"fork": (2.0, 1.0, -3.0, 0.1), "knife": (2.0, 2.0, -3.0, 0.1), "car": (-1.0, None, 2.0, -2.0)}
    )
    activity = Affinity(rows={"fork": (3.0, -1.0), "knife": (2.0, -1.0), "car": (-1.0, 2.0)})
    return Bank(
        name="kitchen",
        labels=tuple(Label(name=name) for name in ("fork", "knife", "car", "tree")),
        conditions=(
            Condition(id="place", text="place", values=("restaurant", "kitchen", "street", "hall"), affinity=place),
            Condition(id="activity", text="activity", values=("eating", "driving"), affinity=activity),
            Condition(id="light", text="light", values=("dim",)),
        ),
    )


def test_pairs_are_printed_with_their_carriers() -> None:
    found = derive_dependencies(kitchen())
    assert [c.id for c in found.conditions] == ["place", "activity"], "light says nothing"
    assert found.pairs()[0][:2] == ("fork", "knife") and all("tree" in pair for pair in found.pairs("tree"))
    place, activity = sorted(carriers(kitchen(), "knife", "fork"), key=lambda carrier: carrier.text, reverse=True)
    assert str(place) == "place = restaurant, kitchen" and str(activity) == "activity = eating"
    shares = dict(place.values)
    assert shares["restaurant"] == pytest.approx(4 / 6.01, abs=1e-4), "2·2 of 2·2 + 1·2 + 0.1·0.1"
    assert carriers(kitchen(), "fork", "car") == () == carriers(kitchen(), "fork", "tree")


def test_the_score_is_the_standardised_cosine_summed_over_conditions() -> None:
    """By hand: angles of the softplus of three labels' numbers; a tree, of which nothing is known, is at the mean."""
    only = editing.reject(kitchen(), ["place"])
    scores = predict_scores(only)
    fork, knife, car = (math.atan2(*(math.log(1 + math.exp(x)) for x in row)) for row in ((3, -1), (2, -1), (-1, 2)))
    cosines = [math.cos(fork - knife), math.cos(fork - car), math.cos(knife - car)]
    by_hand = [(x - statistics.mean(cosines)) / statistics.pstdev(cosines) for x in cosines]
    assert [scores[0, 1], scores[0, 2], scores[1, 2]] == pytest.approx(by_hand)
    assert not scores[3].any() and np.allclose(scores, scores.T) and not scores.diagonal().any()
    both = predict_scores(kitchen())
    place = predict_scores(editing.reject(kitchen(), ["activity"]))
    assert np.allclose(both, scores + place)
    assert np.allclose(predict_scores(kitchen(), {"place": 0.5}), scores + 0.5 * place)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(1, 6), st.data())
def test_low_log_lifts_hardly_count(seed: int, labels: int, values: int, data: st.DataObject) -> None:
    """The order of labels and values changes no score, nor does how low a very low log-lift is."""
    rng = np.random.default_rng(seed)
    names = [f"l{i}" for i in range(labels)]
    matrix = np.round(rng.normal(size=(labels, values)), 2)
    scores = predict_scores(bank(names, {"place": matrix}))
    turned, columns = data.draw(st.permutations(range(labels))), data.draw(st.permutations(range(values)))
    moved = predict_scores(bank([names[i] for i in turned], {"place": matrix[turned][:, columns]}))
    assert np.allclose(moved, scores[np.ix_(turned, turned)])
    never, hardly = (
        predict_scores(bank(names, {"place": np.where(matrix < 0, low, matrix)})) for low in (-90.0, -40.0)
    )
    assert np.allclose(never, hardly)
    pairs = scores[np.triu_indices(labels, 1)]
    assert np.allclose(pairs.mean(), 0) and (np.allclose(pairs.std(), 1) or not pairs.any())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_labels_of_one_place_have_a_high_score(seed: int) -> None:
    """Each label occurs in one of four places; all pairs of the same place must score above all others."""
    rng = np.random.default_rng(seed)
    home = rng.integers(0, 4, size=12)
    assume(len(set(home.tolist())) > 1 and len(set(home.tolist())) < 12)
    names = [f"l{i}" for i in range(12)]
    matrix = np.where(home[:, None] == np.arange(4), 2.0, -1.0) + rng.normal(scale=0.1, size=(12, 4))
    scores = predict_scores(bank(names, {"place": matrix, "noise": rng.normal(size=(12, 1)) * 0 - 1.0}))
    a, b = np.triu_indices(12, 1)
    same = home[a] == home[b]
    assert scores[a, b][same].min() > scores[a, b][~same].max()


def test_errors_of_predictions() -> None:
    with pytest.raises(BankError, match="no active condition has an affinity"):
        predict_scores(editing.reject(kitchen(), ["place", "activity"]))
    with pytest.raises(BankError, match="no active condition 'lite' with an affinity; there are place, activity"):
        predict_scores(kitchen(), {"lite": 1.0})
    with pytest.raises(BankError, match="there is no label 'frok'; there are fork"):
        carriers(kitchen(), "frok", "car")
