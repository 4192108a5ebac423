"""Experiment trackers, with local stores: nothing is sent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import trainer
from tests.trainer.runs import SMALL
from trainer.errors import TrainerError
from trainer.preparing import Reporter
from trainer.progress import Progress
from trainer.run.folder import Run
from trainer.session import Options
from trainer.session import Run as Session
from trainer.tracking.base import Tracking, check_names, flat, numbers, recorded, tracking


def fit(folder: Path, track: str) -> Session:
    return trainer.fit(
        method="coop", out=folder / "run", cache_dir=folder / "cache", progress=Progress(), track=track, **SMALL
    )


def test_mlflow_gets_settings_rounds_figures_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    run = fit(tmp_path, "mlflow")
    client = MlflowClient()
    found = client.get_run(recorded(run)["mlflow"])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    assert found.data.params["method.name"] == "coop"
    assert found.data.params["federation.rounds"] == "2"
    assert found.data.metrics["test.mAP"] == pytest.approx(run.figures[0]["mAP"])
    curve = [(metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, "loss")]
    assert curve == [(record["rounds"], pytest.approx(record["loss"])) for record in run.history]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["report.html"]
    # A resumed run goes on in the same run.
    again = Session.open(run.folder, Options(tmp_path / "cache", progress=Progress()))
    again.resume("1")
    assert recorded(again) == recorded(run)
    assert [m.step for m in client.get_metric_history(found.info.run_id, "loss")] == [1, 2, 2]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))
    run = fit(tmp_path, "wandb")
    (written,) = (run.folder / "wandb").glob("offline-run-*/*.wandb")
    mAP, loss = (json.dumps(value).encode() for value in (run.figures[0]["mAP"], run.history[1]["loss"]))
    content, end = written.read_bytes(), time.monotonic() + 60
    while mAP not in content and time.monotonic() < end:  # another process writes it
        time.sleep(0.1)
        content = written.read_bytes()
    for part in (mAP, loss, b"validation.mAP", b"federation.rounds", recorded(run)["wandb"].encode()):
        assert part in content
    assert list((run.folder / "wandb").rglob("media/html/report*.html"))


class FakeTracker:
    """Records what it is told; fails where it is told to."""

    def __init__(self, broken: bool = False) -> None:
        self.id, self.broken, self.closed = "7", broken, list[bool]()
        self.rounds: list[int] = []

    def log_round(self, rounds: int, values: dict[str, Any]) -> None:
        if self.broken:
            raise ConnectionError("the server\nis gone")
        self.rounds.append(rounds)

    def log_figures(self, values: dict[str, Any]) -> None:
        self.figures = values

    def log_file(self, path: Path) -> None:
        self.file = path

    def close(self, failed: bool) -> None:
        self.closed.append(failed)


def test_a_tracker_that_fails_is_left_out() -> None:
    said: list[str] = []
    good, bad = FakeTracker(), FakeTracker(broken=True)
    together = Tracking({"bad": bad, "good": good}, said.append)
    for rounds in (1, 2):
        together.each(lambda tracker, rounds=rounds: tracker.log_round(rounds, {}))  # type: ignore[misc]
    assert good.rounds == [1, 2]
    (line,) = said
    assert line.startswith("warning: bad failed (the server is gone) and is left out")


def test_trackers_learn_that_a_run_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = FakeTracker()
    monkeypatch.setattr("trainer.tracking.base._open", lambda name, run, known: tracker)
    with pytest.raises(KeyboardInterrupt), tracking(Run(tmp_path), ["mlflow"], print):
        raise KeyboardInterrupt
    assert tracker.closed == [True]
    assert recorded(Run(tmp_path)) == {"mlflow": "7"}
    (tmp_path / "tracking.json").write_text("[")
    with pytest.raises(TrainerError, match=r"tracking\.json.*delete it"):
        recorded(Run(tmp_path))


def test_unknown_and_missing_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainerError, match="tracker 'mlfow' is not known; there are: mlflow"):
        trainer.fit(method="coop", track="mlfow", progress=Progress(Reporter()))
    monkeypatch.setattr("trainer.tracking.base.find_spec", lambda name: None)
    with pytest.raises(TrainerError, match=r"pip install 'fedmpt\[wandb\]'"):
        check_names(["wandb"])
    assert not list(tmp_path.iterdir())


def test_flat_values() -> None:
    assert flat({"a": {"b": 1, "c": {"d": "x"}}, "e": None}) == {"a.b": 1, "a.c.d": "x", "e": None}
    assert numbers({"a": 1, "b": "x", "c": None, "d": 0.5}) == {"a": 1.0, "d": 0.5}
