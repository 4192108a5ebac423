"""Logits of probabilities."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.heads.logit import log_odds


@given(st.floats(-80, -1e-3))
def test_the_sigmoid_gives_the_probability_back(logarithm: float) -> None:
    given_one = torch.tensor(logarithm)
    torch.testing.assert_close(torch.nn.functional.logsigmoid(log_odds(given_one)), given_one, atol=1e-5, rtol=1e-4)


def test_it_is_finite_and_keeps_the_order_at_both_ends() -> None:
    odds = log_odds(torch.tensor([-80.0, -79.0, -1e-3, 0.0]))
    assert bool(odds.isfinite().all()) and odds.tolist() == sorted(odds.tolist())
