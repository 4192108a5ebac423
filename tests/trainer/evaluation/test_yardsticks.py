"""Yardsticks: the linear probe against scikit-learn, trivial predictions by hand, and what a run says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from tests.trainer.small_runs import new_run, prepared
from trainer.evaluation.comparison import rows, shared_yardsticks
from trainer.evaluation.findings import findings, still_rising
from trainer.evaluation.linear_probe import _fitted, federated_probe, pooled_probe, probe_logits
from trainer.evaluation.measuring import evaluate
from trainer.evaluation.metrics import compute_metrics
from trainer.run.folder import Run
from trainer.train import train


def separable(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features of ten numbers; three labels that linear functions of them tell, with some noise."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 10, generator=generator)
    scores = features[:, :3] + 0.3 * torch.randn(count, 3, generator=generator)
    return features, (scores > 0.5).long()


class TestProbe:
    def test_the_optimum_is_scikit_learns(self) -> None:
        features, labels = separable(80, 0)
        found = _fitted(features.new_zeros(11, 3), features, labels, 0.01, 300)
        for label in range(3):
            theirs = LogisticRegression(C=1 / (80 * 0.01), tol=1e-8, max_iter=1000)
            theirs.fit(features.numpy(), labels[:, label].numpy())
            np.testing.assert_allclose(found[:-1, label].numpy(), theirs.coef_[0], atol=2e-3)
            np.testing.assert_allclose(float(found[-1, label]), theirs.intercept_[0], atol=2e-3)

    def test_unknown_labels_do_not_count(self) -> None:
        features, labels = separable(80, 0)
        hidden = labels.clone()
        hidden[40:] = -1
        start = features.new_zeros(11, 3)
        both = [_fitted(start, features, hidden, 0.01, 300), _fitted(start, features[:40], labels[:40], 0.01, 300)]
        torch.testing.assert_close(both[0], both[1], atol=2e-3, rtol=0)

    def test_federated_averaging_comes_close_to_pooling(self) -> None:
        test = separable(300, 1)
        parts = [separable(n, seed) for n, seed in ((40, 2), (60, 3), (50, 4))]
        whole = (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
        validation = separable(60, 5)
        maps = [
            compute_metrics(probe_logits(weights, test[0]), test[1], 0.5).mAP
            for weights in (pooled_probe(whole, validation), federated_probe(parts, validation))
        ]
        assert maps[0] is not None
        assert maps[1] is not None
        assert maps[0] > 90
        assert maps[1] > maps[0] - 2


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("yardsticks")
    run, config = new_run(folder / "run", method__name="coop", federation__rounds=1, evaluation__bootstrap=0)
    ready = prepared(config, folder / "cache")
    train(run, ready)
    evaluate(run, ready)
    return run


class TestRun:
    def test_trivial_rows_are_the_prevalence_of_test_images(self, evaluated: Run) -> None:
        stored = evaluated.yardsticks()
        assert stored is not None
        by_name = {row["name"]: row for row in stored["rows"]}
        assert list(by_name) == ["every-label", "prevalence", "zero-shot", "probe-federated", "probe-pooled"]
        every = by_name["every-label"]
        positives = [row["positives"] for row in evaluated.evaluation()["per_label"]]
        shares = [100 * count / evaluated.evaluation()["images"] for count in positives if count]
        assert every["mAP"] == pytest.approx(sum(shares) / len(shares))
        assert every["CR"] == every["OR"] == 100
        assert by_name["prevalence"]["mAP"] == pytest.approx(every["mAP"])

    def test_they_are_measured_once(self, evaluated: Run, tmp_path: Path) -> None:
        path = evaluated.folder / "yardsticks.json"
        before = path.read_bytes()
        marked = before.replace(b"every label always", b"kept")
        path.write_bytes(marked)
        evaluate(evaluated, prepared(evaluated.config(), tmp_path))
        assert path.read_bytes() == marked
        path.write_bytes(before)

    def test_comparisons_show_each_once(self, evaluated: Run) -> None:
        shown = shared_yardsticks(rows([evaluated, evaluated]))
        assert [row["name"] for row in shown] == [row["name"] for row in rows([evaluated])[0]["yardsticks"]]

    def test_a_run_below_them_says_so(self, evaluated: Run) -> None:
        path = evaluated.folder / "evaluation.json"
        before = path.read_text()
        content = evaluated.evaluation()
        evaluated.write_json(
            "evaluation.json", {**content, "test": {**content["test"], "mAP": 1.0}, "distinct_predictions": 1}
        )
        said = " ".join(findings(evaluated))
        assert "its mAP of 1.0 is below every label always" in said
        assert "the same labels for every test image" in said
        evaluated.write_json(
            "evaluation.json", {**content, "test": {**content["test"], "mAP": 100.0}, "distinct_predictions": 9}
        )
        assert not [text for text in findings(evaluated) if "below" in text or "same labels" in text]
        path.write_text(before)

    def test_they_can_be_left_out(self, tmp_path: Path) -> None:
        run, config = new_run(tmp_path / "run", method__name="zero-shot", evaluation__yardsticks=False)
        ready = prepared(config, tmp_path)
        train(run, ready)
        evaluate(run, ready)
        assert run.yardsticks() is None
        assert rows([run])[0]["yardsticks"] == []


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([10, 20, 30, 40, 50, 60, 70, 80], True),
        ([10, 40, 60, 70, 75, 76, 76.5, 76.9], False),
        ([10, 20, 30], False),
        ([50, 60, 55, 54], False),
        ([None, None, None, None, None], False),
    ],
)
def test_a_curve_rises_until_the_end_or_not(curve: list[float | None], expected: bool) -> None:
    assert still_rising([{"validation": {"mAP": value}} for value in curve]) is expected
