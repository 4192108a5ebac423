"""More rounds for a finished run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.small_runs import contents, new_run, prepared
from trainer.errors import TrainerError
from trainer.run.extending import extend
from trainer.run.folder import Run
from trainer.train import train

CONSTANT = {"method__name": "coop", "optimiser__schedule": "constant"}


def go_on(run: Run, cache: Path, checkpoint: str = "last") -> None:
    train(run, prepared(run.config(), cache), checkpoint)


def test_with_a_constant_rate_it_is_the_longer_run(tmp_path: Path, cache: Path) -> None:
    short, config = new_run(tmp_path / "short", federation__rounds=2, **CONSTANT)
    train(short, prepared(config, cache))
    assert extend(short, 4) == []
    go_on(short, cache)
    long, config = new_run(tmp_path / "long", federation__rounds=4, **CONSTANT)
    train(long, prepared(config, cache))
    assert contents(short) == contents(long)


def test_a_schedule_over_all_rounds_is_named_and_checkpoint_0_repeats_it(tmp_path: Path, cache: Path) -> None:
    short, config = new_run(tmp_path / "short", federation__rounds=2, method__name="coop")
    train(short, prepared(config, cache))
    (note,) = extend(short, 3)
    assert "cosine" in note
    assert "schedule of 2 rounds" in note
    assert extend(short, 3, "0") == []
    go_on(short, cache, "0")
    long, config = new_run(tmp_path / "long", federation__rounds=3, method__name="coop")
    train(long, prepared(config, cache))
    assert contents(short) == contents(long)


def test_fewer_rounds_than_are_done_are_refused(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=2, **CONSTANT)
    train(run, prepared(config, cache))
    with pytest.raises(TrainerError, match="it has 2 of its rounds already"):
        extend(run, 1)
    assert run.config().federation.rounds == 2
    extend(run, 1, "1")
    assert run.config().federation.rounds == 1


def test_a_run_that_stopped_early_runs_on(tmp_path: Path, cache: Path) -> None:
    # Without a learning rate nothing improves after the first round.
    run, config = new_run(
        tmp_path / "run", federation__rounds=6, federation__patience=1, optimiser__learning_rate=1e-12, **CONSTANT
    )
    train(run, prepared(config, cache))
    assert len(run.metrics()) == 2
    (note,) = extend(run, 4)
    assert "federation.patience=1" in note
    go_on(run, cache)
    assert len(run.metrics()) == 4
