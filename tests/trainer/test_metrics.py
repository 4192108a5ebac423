"""Figures against scikit-learn and against the published evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score, f1_score

from tests.shared import shared
from trainer.metrics import average_precision, choose_threshold, f1, figures


def data(seed: int, images: int = 40, labels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(images, labels, generator=generator) < 0.3).long()
    truth[0] = 1
    return torch.randn(images, labels, generator=generator) * 3, truth


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 100.0]), ties=st.booleans())
def test_map_is_scikit_learns(seed: int, scale: float, ties: bool) -> None:
    """At any scale of the scores: a sigmoid of the large ones would tie them."""
    logits, truth = data(seed)
    logits = (logits.round() if ties else logits) * scale
    expected = 100 * average_precision_score(truth.numpy(), logits.numpy(), average=None)
    np.testing.assert_allclose(average_precision(logits, truth), expected, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.2, 0.5, 0.7]))
def test_f1_is_scikit_learns(seed: int, threshold: float) -> None:
    logits, truth = data(seed)
    got = f1(logits.sigmoid(), truth, threshold)
    predicted = (logits.sigmoid() > threshold).numpy()
    expected = [100 * f1_score(truth.numpy(), predicted, average=kind, zero_division=0) for kind in ("macro", "micro")]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_by_hand() -> None:
    """Ranked: present, absent, present. Precision at the hits: 1/1 and 2/3, so the mean is 5/6."""
    logits = torch.tensor([[3.0, 0.0], [2.0, 1.0], [1.0, 2.0]])
    truth = torch.tensor([[1, 0], [0, 0], [1, 1]])
    assert average_precision(logits, truth) == pytest.approx((100 * 5 / 6, 100.0))


def test_unknown_labels_are_left_out() -> None:
    logits, truth = data(1)
    hidden = truth.clone()
    hidden[5:15, 0] = -1
    kept = [i for i in range(len(truth)) if not 5 <= i < 15]
    assert average_precision(logits, hidden)[0] == pytest.approx(average_precision(logits[kept], truth[kept])[0])


def test_labels_without_positives_are_left_out_and_counted() -> None:
    logits, truth = data(2)
    truth[:, 3] = 0
    measured = figures(logits, truth, 0.5)
    assert measured.labels_without_positives == 1
    assert measured.average_precision[3] is None
    kept = [v for v in measured.average_precision if v is not None]
    assert measured.mAP == pytest.approx(sum(kept) / 4)


def test_threshold_is_the_best_of_its_grid() -> None:
    logits, truth = data(3)
    chosen = choose_threshold(logits, truth)
    best = max(f1(logits.sigmoid(), truth, t / 100)[1] for t in range(1, 100))
    assert f1(logits.sigmoid(), truth, chosen)[1] == pytest.approx(best)


def test_bad_scores_are_named() -> None:
    logits, truth = data(0)
    with pytest.raises(ValueError, match="differ in shape"):
        figures(logits[:, :2], truth, 0.5)
    logits[3, 1] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        figures(logits, truth, 0.5)
    with pytest.raises(ValueError, match="no label has a positive"):
        figures(torch.zeros(3, 2), torch.zeros(3, 2), 0.5)


def test_parity_with_the_published_average_precision() -> None:
    """Where no scores are tied; a label without positives is 0 there and left out here."""
    tensors = load_file(shared("fixtures/metrics.safetensors"))
    for seed in (0, 1, 3):
        got = average_precision(tensors[f"s{seed}.scores"], tensors[f"s{seed}.labels"].long())
        expected = tensors[f"s{seed}.ap_per_class"].tolist()
        for mine, theirs in zip(got, expected, strict=True):
            assert (0.0 if mine is None else mine) == pytest.approx(theirs, abs=1e-3)
