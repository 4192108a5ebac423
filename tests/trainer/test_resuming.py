"""A resumed run gives bit-identical results from any of its checkpoints; which checkpoints are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.small_runs import contents, new_run, prepared
from trainer.preparing import Prepared, Reporter
from trainer.train import train


class Cut(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 3])
def test_resume_reaches_the_same_bits(tmp_path: Path, cache: Path, after: int) -> None:
    """From every point at which a run was cut off: between rounds, and with a half-written line of metrics."""
    whole, config = new_run(tmp_path / "whole", federation__participation=0.5)
    train(whole, prepared(config, cache))

    def stop(record: object, figures: object, rounds: int) -> None:
        if len(cut.metrics()) > after:
            raise Cut

    cut, config = new_run(tmp_path / "cut", federation__participation=0.5)
    broken = prepared(config, cache)
    with pytest.raises(Cut):
        train(cut, Prepared(broken.config, broken.dataset, broken.method, cache, Reporter()), after_round=stop)
    with (cut.folder / "metrics.jsonl").open("a") as file:
        file.write('{"rounds": 3, "lo')
    train(cut, prepared(cut.config(), cache))
    assert contents(cut) == contents(whole)
    assert [line["rounds"] for line in cut.metrics()] == [1, 2, 3, 4]


@pytest.mark.parametrize("checkpoint", ["0", "1", "2", "3", "best"])
def test_every_checkpoint_leads_to_the_same_bits(tmp_path: Path, cache: Path, checkpoint: str) -> None:
    run, config = new_run(tmp_path / "run")
    train(run, prepared(config, cache))
    whole = contents(run)
    train(run, prepared(config, cache), checkpoint)
    assert contents(run) == whole


def test_the_best_and_every_nth_checkpoint_are_kept(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=7, checkpoint_every=3)
    train(run, prepared(config, cache))
    assert sorted(run.checkpoints()) == sorted({0, 3, 6, 7, run.best()})
    assert run.load_checkpoint("best")[0] == run.best()
    scored = {record["rounds"]: record["validation"]["mAP"] for record in run.metrics()}
    assert scored[run.best()] == max(scored.values())


def test_patience_ends_a_run_that_no_longer_improves(tmp_path: Path, cache: Path) -> None:
    """With a learning rate that changes no figure the first round stays the best."""
    run, config = new_run(
        tmp_path / "run", federation__rounds=9, federation__patience=2, optimiser__learning_rate=1e-12
    )
    train(run, prepared(config, cache))
    assert [line["rounds"] for line in run.metrics()] == [1, 2, 3]
    assert {1, 3} <= set(run.checkpoints())
    train(run, prepared(config, cache))
    assert len(run.metrics()) == 3
