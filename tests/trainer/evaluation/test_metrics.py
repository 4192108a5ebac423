"""Metrics against scikit-learn, torchmetrics and the published evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score
from torchmetrics.functional.classification import binary_average_precision, multilabel_stat_scores

from tests.shared import shared
from trainer.evaluation.bootstrap import intervals, weighted_average_precision, weighted_metrics
from trainer.evaluation.measuring import client_metrics, per_label
from trainer.evaluation.metrics import (
    ORACLE_THRESHOLDS,
    ThresholdMetrics,
    average_precision,
    choose_threshold,
    compute_metrics,
    confusion,
    oracle_metrics,
    threshold_metrics,
)
from trainer.run.metric_records import FIGURES
from trainer.seeding import numpy_generator


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
    np.testing.assert_allclose(average_precision(logits, truth), expected, rtol=1e-12)


def some_hidden(truth: torch.Tensor, seed: int) -> torch.Tensor:
    """The labels with a fifth of them unknown (-1), but for the first image's."""
    hidden = truth.clone()
    hidden[torch.rand(truth.shape, generator=torch.Generator().manual_seed(seed)) < 0.2] = -1
    hidden[0] = 1
    return hidden


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_map_is_torchmetrics(seed: int, ties: bool) -> None:
    """It sums in float32, and takes scores for logits where one is outside [0, 1]: ranks keep order and ties."""
    logits, truth = data(seed)
    logits, truth = logits.round() if ties else logits, some_hidden(truth, seed)
    ranks = torch.unique(logits, return_inverse=True)[1].double()
    ranks /= ranks.max()
    for column, found in enumerate(average_precision(logits, truth)):
        expected = binary_average_precision(ranks[:, column], truth[:, column], ignore_index=-1)
        assert found == pytest.approx(100 * float(expected), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.1, 0.25, 0.5, 0.99]), ties=st.booleans())
def test_counts_are_torchmetrics(seed: int, threshold: float, ties: bool) -> None:
    """To the last count, probabilities equal to the threshold (0.25 and 0.5) among them."""
    logits, truth = data(seed)
    probabilities, truth = logits.sigmoid(), some_hidden(truth, seed)
    probabilities = (4 * probabilities).round() / 4 if ties else probabilities
    counts = multilabel_stat_scores(
        probabilities, truth, num_labels=truth.shape[1], threshold=threshold, average="none", ignore_index=-1
    )
    true, false, _, _, actual = counts.double().unbind(-1)
    expected = torch.stack([true, true + false, actual], dim=-1)
    assert torch.equal(confusion(probabilities, truth, threshold), expected)


def at(logits: torch.Tensor, truth: torch.Tensor, threshold: float) -> ThresholdMetrics:
    return threshold_metrics(confusion(logits.sigmoid(), truth, threshold))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.2, 0.5, 0.7, 0.99]))
def test_decisions_are_scikit_learns(seed: int, threshold: float) -> None:
    logits, truth = data(seed)
    got = at(logits, truth, threshold)
    predicted = (logits.sigmoid() > threshold).numpy()
    for kind, names in (("macro", ("CP", "CR", "CF1")), ("micro", ("OP", "OR", "OF1"))):
        for measure, name in zip((precision_score, recall_score, f1_score), names, strict=True):
            expected = 100 * measure(truth.numpy(), predicted, average=kind, zero_division=0)
            assert getattr(got, name) == pytest.approx(expected, rel=1e-12), name


def test_by_hand() -> None:
    """Ranked: present, absent, present. Precision at the hits: 1/1 and 2/3, so the mean is 5/6."""
    logits = torch.tensor([[3.0, 0.0], [2.0, 1.0], [1.0, 2.0]])
    truth = torch.tensor([[1, 0], [0, 0], [1, 1]])
    assert average_precision(logits, truth) == pytest.approx((100 * 5 / 6, 100.0))


def test_one_label_is_enough() -> None:
    logits, truth = data(6, labels=1)
    measured = compute_metrics(logits, truth, 0.5)
    assert measured.mAP == pytest.approx(100 * average_precision_score(truth[:, 0], logits[:, 0]))
    assert (measured.CP, measured.CR, measured.CF1) == (measured.OP, measured.OR, measured.OF1)


def test_unknown_labels_are_left_out() -> None:
    logits, truth = data(1)
    hidden = truth.clone()
    hidden[5:15, 0] = -1
    kept = [i for i in range(len(truth)) if not 5 <= i < 15]
    assert average_precision(logits, hidden)[0] == pytest.approx(average_precision(logits[kept], truth[kept])[0])


def test_labels_without_positives_are_left_out_and_counted() -> None:
    logits, truth = data(2)
    truth[:, 3] = 0
    measured = compute_metrics(logits, truth, 0.5)
    assert measured.labels_without_positives == 1
    assert measured.average_precision[3] is None
    kept = [v for v in measured.average_precision if v is not None]
    assert measured.mAP == pytest.approx(sum(kept) / 4)
    without = [c for c in range(5) if c != 3]
    all_labels, others = at(logits, truth, 0.5), at(logits[:, without], truth[:, without], 0.5)
    assert (all_labels.CP, all_labels.CR, all_labels.CF1) == (others.CP, others.CR, others.CF1)
    row = per_label(("a", "b", "c", "d", "e"), logits, truth, 0.5)[3]
    assert (row["positives"], row["average_precision"], row["F1"]) == (0, None, None)


def test_pooled_metrics_count_claims_of_labels_that_no_image_has() -> None:
    """Two labels of four images: all five claims of the first are right, all three of the second are false: 5 of 8."""
    truth = torch.tensor([[1, 0], [1, 0], [1, 0], [1, 0], [1, 0]])
    claims = torch.tensor([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0], [5.0, -5.0], [5.0, -5.0]])
    measured = compute_metrics(claims, truth, 0.5)
    assert (measured.OP, measured.OR) == (62.5, 100.0)
    assert measured.CP == 100.0
    weighted = weighted_metrics(torch.ones(1, 5, dtype=torch.float64), claims, truth, 0.5)[0]
    assert dict(zip(FIGURES, weighted.tolist(), strict=True))["OP"] == 62.5
    (client,) = client_metrics(claims, truth, np.zeros(5, int), 0.5)["each"]
    assert client["OP"] == 62.5


def test_the_threshold_counts_false_claims_of_absent_labels() -> None:
    """The absent label is claimed up to 0.6, the present one's claims start at 0.7 and 0.3."""
    truth = torch.tensor([[1, 0], [1, 0], [0, 0], [0, 0]])
    probabilities = torch.tensor([[0.7, 0.6], [0.65, 0.6], [0.1, 0.6], [0.1, 0.6]])
    assert 0.6 <= choose_threshold(probabilities.logit(), truth) < 0.65


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_cf1_both_ways(seed: int) -> None:
    logits, truth = data(seed)
    predicted = (logits.sigmoid() > 0.5).numpy()
    got = at(logits, truth, 0.5)
    assert pytest.approx(100 * f1_score(truth.numpy(), predicted, average="macro", zero_division=0)) == got.CF1
    expected = 2 * got.CP * got.CR / (got.CP + got.CR) if got.CP + got.CR else 0.0
    assert got.CF1_harmonic == pytest.approx(expected)


def test_threshold_is_the_best_of_its_grid() -> None:
    logits, truth = data(3)
    chosen = choose_threshold(logits, truth)
    assert max(at(logits, truth, t / 100).OF1 for t in range(1, 100)) == at(logits, truth, chosen).OF1


def test_bad_scores_are_named() -> None:
    logits, truth = data(0)
    with pytest.raises(ValueError, match="differ in shape"):
        compute_metrics(logits[:, :2], truth, 0.5)
    logits[3, 1] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        compute_metrics(logits, truth, 0.5)


@pytest.mark.parametrize("labels", [torch.zeros(3, 2), torch.tensor([[0, -1], [0, 0], [-1, 0]])])
def test_without_any_positive_no_figure_has_a_value(labels: torch.Tensor) -> None:
    measured = compute_metrics(torch.zeros(3, 2), labels, 0.5).to_dict()
    assert {measured.pop(key) for key in FIGURES} == {None}
    assert measured == {"threshold": 0.5, "labels_without_positives": 2, "average_precision": [None, None]}
    assert set(oracle_metrics(torch.full((3, 2), 0.5), labels).values()) == {None}
    assert choose_threshold(torch.zeros(3, 2), labels) == 0.5


def test_parity_with_the_published_average_precision() -> None:
    """Where no scores are tied; a label without positives is 0 there and left out here."""
    tensors = load_file(shared("fixtures/metrics.safetensors"))
    for seed in (0, 1, 3):
        got = average_precision(tensors[f"s{seed}.scores"], tensors[f"s{seed}.labels"].long())
        expected = tensors[f"s{seed}.ap_per_class"].tolist()
        for mine, theirs in zip(got, expected, strict=True):
            assert (0.0 if mine is None else mine) == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_parity_with_the_published_figures(seed: int) -> None:
    """All seven numbers; where scores are tied (seed 2) the published order within a tie is an accident."""
    tensors = load_file(shared("fixtures/metrics.safetensors"))
    scores, labels = tensors[f"s{seed}.scores"], tensors[f"s{seed}.labels"].long()
    got = oracle_metrics(scores, labels)
    names = ("CP", "CR", "CF1", "OP", "OR", "OF1", "mAP")
    for name, expected in zip(names, tensors[f"s{seed}.reported"].tolist(), strict=True):
        assert got[name] == pytest.approx(expected, abs=3.0 if (seed, name) == (2, "mAP") else 1e-3), name
    if bool((labels.sum(0) > 0).all()):
        for threshold, row in zip(ORACLE_THRESHOLDS, tensors[f"s{seed}.per_threshold"].nan_to_num(), strict=True):
            found = threshold_metrics(confusion(scores, labels, threshold))
            np.testing.assert_allclose([getattr(found, n) for n in names[:6]], row, atol=1e-3)


def test_each_oracle_figure_has_its_own_threshold() -> None:
    """Scores 0.25, 0.55, 0.85 for absent, present, present: P is 1 above 0.25, R is 1 below 0.55."""
    scores = torch.tensor([[0.25, 0.25], [0.55, 0.55], [0.85, 0.85]])
    truth = torch.tensor([[0, 0], [1, 1], [1, 1]])
    got = oracle_metrics(scores, truth)
    assert got == dict.fromkeys(FIGURES, 100.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_weighted_average_precision_is_scikit_learns(seed: int, ties: bool) -> None:
    logits, truth = data(seed)
    logits = logits.round() if ties else logits
    counts = torch.randint(0, 4, (3, len(truth)), generator=torch.Generator().manual_seed(seed)).double()
    counts[:, 0] = 1
    got = weighted_average_precision(counts, logits[:, 2], truth[:, 2].double())
    for row, value in zip(counts, got, strict=True):
        expected = average_precision_score(truth[:, 2], logits[:, 2], sample_weight=row)
        assert float(value) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), hidden=st.booleans())
def test_every_image_once_gives_the_figures(seed: int, hidden: bool) -> None:
    logits, truth = data(seed)
    truth = some_hidden(truth, seed) if hidden else truth
    got = weighted_metrics(torch.ones(1, len(truth), dtype=torch.float64), logits, truth, 0.4)[0]
    expected = compute_metrics(logits, truth, 0.4)
    np.testing.assert_allclose(got, [getattr(expected, name) for name in FIGURES], rtol=1e-12)


def test_intervals_hold_the_figures_and_narrow_with_images() -> None:
    widths = []
    for images in (60, 960):
        logits, truth = data(0, images)
        logits = logits + 2 * truth
        found = intervals(logits, truth, 0.5, resamples=200, level=0.95, generator=numpy_generator(0, "b"))
        measured = compute_metrics(logits, truth, 0.5)
        for name, (low, high) in found.items():
            assert low <= getattr(measured, name) <= high
        widths.append(found["mAP"][1] - found["mAP"][0])
    # A quarter of the width for 16 times the images, within the spread of 200 resamples.
    assert widths[1] < 0.45 * widths[0]


def test_intervals_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.evaluation import bootstrap

    logits, truth = data(4)
    arguments = {"resamples": 50, "level": 0.9}
    whole = intervals(logits, truth, 0.5, **arguments, generator=numpy_generator(0, "b"))
    monkeypatch.setattr(bootstrap, "CELLS", 7 * len(truth))
    assert intervals(logits, truth, 0.5, **arguments, generator=numpy_generator(0, "b")) == whole


def test_clients_are_measured_on_their_own_images() -> None:
    logits, truth = data(5, 60)
    sites = np.repeat([0, 2, 7, -1], 15)
    truth[30:45] = 0
    found = client_metrics(logits, truth, sites, 0.5)
    assert [row["client"] for row in found["each"]] == [0, 2, 7]
    for row, where in zip(found["each"][:2], (slice(0, 15), slice(15, 30)), strict=True):
        alone = compute_metrics(logits[where], truth[where], 0.5)
        assert row["mAP"] == pytest.approx(alone.mAP)
        assert row["OF1"] == pytest.approx(alone.OF1)
    assert found["each"][2]["mAP"] is None
    assert found["without_positives"] == 1
    values = [row["mAP"] for row in found["each"][:2]]
    assert found["mean"]["mAP"] == pytest.approx(sum(values) / 2)
    assert found["worst"]["mAP"] == pytest.approx(min(values))
