"""The measures equal those of scikit-learn and SciPy; a weight is the multiplicity of a pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from prompt_bank.dependencies.measures import Ranking, average_precision, roc_auc, spearman


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=4, max_size=40))
def test_the_measures_equal_scikit_learns_and_scipys(drawn: list[tuple[int, int, int]]) -> None:
    scores, lifts, times = (np.array(column, dtype=np.float64) for column in zip(*drawn, strict=True))
    again = np.repeat(np.arange(len(scores)), times.astype(int))
    positive = lifts > 2
    assume(len(set(scores[again])) > 1 and len(set(lifts[again])) > 1 and len(set(positive[again])) == 2)
    assume(len(set(positive)) == 2)
    weights = np.vstack([np.ones(len(scores)), times])
    ranking, by_lift = Ranking.of(scores), Ranking.of(lifts)
    auc, precision = roc_auc(ranking, positive, weights), average_precision(ranking, positive, weights)
    correlation = spearman(ranking, by_lift, weights)
    for row, chosen in enumerate((np.arange(len(scores)), again)):
        assert auc[row] == pytest.approx(roc_auc_score(positive[chosen], scores[chosen]))
        assert precision[row] == pytest.approx(average_precision_score(positive[chosen], scores[chosen]))
        assert correlation[row] == pytest.approx(spearmanr(scores[chosen], lifts[chosen]).statistic)


def test_undefined_measures_are_nan() -> None:
    ranking, weights = Ranking.of(np.array([1.0, 2.0, 2.0])), np.ones((1, 3))
    nothing = np.zeros(3, dtype=bool)
    assert np.isnan(roc_auc(ranking, nothing, weights)).all() and np.isnan(roc_auc(ranking, ~nothing, weights)).all()
    assert np.isnan(average_precision(ranking, nothing, weights)).all()
    assert np.isnan(spearman(ranking, Ranking.of(np.ones(3)), weights)).all()
