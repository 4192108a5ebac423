"""Evaluating a run on a small drawn world: completeness, metrics by label and by client, isolation of unseen labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.small_runs import contents, new_run, prepared
from trainer.errors import TrainerError
from trainer.evaluation.comparison import rows
from trainer.evaluation.measuring import evaluate
from trainer.preparing import seen_labels
from trainer.train import train


def test_training_lowers_the_loss_and_evaluation_is_complete(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=6)
    ready = prepared(config, cache)
    train(run, ready)
    losses = [line["loss"] for line in run.metrics()]
    assert losses[-1] < losses[0]
    result = evaluate(run, ready)
    assert result == json.loads((run.folder / "evaluation.json").read_text())
    assert result["images"] == 40
    assert result["rounds"] == 6
    assert len(result["test"]["average_precision"]) == 24
    best = evaluate(run, ready, "best")
    assert best["rounds"] == max(run.metrics(), key=lambda m: (m["validation"]["mAP"], m["rounds"]))["rounds"]
    with pytest.raises(TrainerError, match="no checkpoint '9'; there are last, best, 0, 1"):
        evaluate(run, ready, "9")


def test_evaluation_covers_labels_clients_and_chance(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=1, evaluation__bootstrap=50)
    ready = prepared(config, cache)
    train(run, ready)
    result = evaluate(run, ready)
    assert [row["label"] for row in result["per_label"]] == list(ready.dataset.label_names)
    low, high = result["intervals"]["mAP"]
    assert 0 < low < high < 100
    assert result["clients"]["images"] == "train"
    assert [row["images"] for row in result["clients"]["each"]] == [12, 12]
    assert result["test_oracle_thresholds"]["OF1"] >= result["test_at_0.5"]["OF1"]
    assert evaluate(run, ready) == result
    lean = config.model_copy(
        update={"evaluation": config.evaluation.model_copy(update={"bootstrap": 0, "clients": False})}
    )
    assert (evaluate(run, prepared(lean, cache))["intervals"], evaluate(run, prepared(lean, cache))["clients"]) == (
        None,
    ) * 2


def test_unseen_labels_reach_neither_training_nor_the_threshold(tmp_path: Path, cache: Path) -> None:
    """Other annotations of an unseen label change its metrics, but neither trained parameters nor the threshold."""
    states, results = [], []
    for flipped in (False, True):
        run, config = new_run(tmp_path / str(flipped), federation__rounds=2, unseen_labels=["cat", "dog"])
        ready = prepared(config, cache)
        if flipped:
            columns = [ready.dataset.label_names.index(name) for name in config.unseen_labels]
            for split in ready.dataset.splits():
                split.labels[:, columns] = 1 - split.labels[:, columns]
        train(run, ready)
        states.append(contents(run))
        results.append(evaluate(run, ready))
    assert states[0] == states[1]
    assert results[0]["test"]["threshold"] == results[1]["test"]["threshold"]
    assert results[0]["test_seen"] == results[1]["test_seen"]
    assert results[0]["test_unseen"]["mAP"] != results[1]["test_unseen"]["mAP"]
    assert len(results[0]["test_unseen"]["average_precision"]) == 2


def test_unseen_labels_are_checked() -> None:
    assert seen_labels(("a", "b", "c"), ("b",)) == (0, 2)
    assert seen_labels(("a", "b"), ()) is None
    with pytest.raises(TrainerError, match="unseen label 'x' is not known; there are: a, b"):
        seen_labels(("a", "b"), ("x",))
    with pytest.raises(TrainerError, match="fewer than two"):
        seen_labels(("a", "b"), ("a",))


def test_comparison_refuses_other_images(tmp_path: Path, cache: Path) -> None:
    runs = []
    for name, images in (("a", 40), ("b", 41)):
        run, config = new_run(tmp_path / name, data__test_images=images, federation__rounds=1)
        with pytest.raises(TrainerError, match="not evaluated"):
            rows([run])
        ready = prepared(config, cache)
        train(run, ready)
        evaluate(run, ready)
        runs.append(run)
    assert rows(runs[:1])[0]["mAP"] == runs[0].evaluation()["test"]["mAP"]
    with pytest.raises(TrainerError, match="different test images"):
        rows(runs)
