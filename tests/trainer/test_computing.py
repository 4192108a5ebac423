"""Computation of rounds on a small drawn world: golden losses, batches, precision, compilation, non-finite values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.small_runs import new_run, prepared
from trainer.errors import RunFailed, TrainerError
from trainer.preparing import Prepared, Reporter, pick_device
from trainer.train import train


def losses(folder: Path, cache: Path, **settings: object) -> list[float]:
    run, config = new_run(folder, federation__rounds=2, **settings)
    train(run, prepared(config, cache))
    return [line["loss"] for line in run.metrics()]


def final(folder: Path, cache: Path, **settings: object) -> dict[str, torch.Tensor]:
    run, config = new_run(folder, federation__rounds=2, **settings)
    train(run, prepared(config, cache))
    return run.load_checkpoint()[1]


def test_golden_losses(tmp_path: Path, cache: Path) -> None:
    """Losses of a fixed seed; a refactor must leave them as they are, within rounding of other processors."""
    golden = {
        "shares": [0.896512, 0.789235, 0.686794, 0.635515],
        "softmax": [1.738667, 0.545444, 0.519478, 0.328878],
        "transport": [1.285231, 1.241516, 0.515467, 0.391512],
    }
    for matching, expected in golden.items():
        run, config = new_run(tmp_path / matching, method__matching=matching)
        train(run, prepared(config, cache))
        assert [line["loss"] for line in run.metrics()] == pytest.approx(expected, rel=1e-4), matching


def test_accumulated_batches_are_one_large_batch(tmp_path: Path, cache: Path) -> None:
    """12 images a client: batches of 8 and 4, or of 4, 4 | 4."""
    large = final(tmp_path / "large", cache, optimiser__batch_size=8)
    small = final(tmp_path / "small", cache, optimiser__batch_size=4, optimiser__accumulation=2)
    single = final(tmp_path / "single", cache, optimiser__batch_size=4)
    torch.testing.assert_close(small, large, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(single["class_tokens"], large["class_tokens"], atol=1e-3)


def test_long_gradients_are_shortened(tmp_path: Path, cache: Path) -> None:
    """One SGD step of rate 1 without momentum moves the parameters by the norm that is allowed."""
    settings: dict[str, object] = {"federation__rounds": 1, "optimiser__batch_size": 50, "data__sites": 1}
    settings |= {"optimiser__name": "sgd", "optimiser__learning_rate": 1.0, "optimiser__momentum": 0.0}
    run, config = new_run(tmp_path / "run", **settings, optimiser__clip_norm=0.01, optimiser__weight_decay=0)
    train(run, prepared(config, cache))
    before, after = run.load_checkpoint("0")[1], run.load_checkpoint("1")[1]
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_trains_alike(tmp_path: Path, cache: Path, precision: str) -> None:
    exact = losses(tmp_path / "exact", cache)
    reduced = losses(tmp_path / "reduced", cache, compute__precision=precision)
    assert reduced == pytest.approx(exact, rel=0.02)
    assert reduced != exact


def test_text_chunks_train_alike(tmp_path: Path, cache: Path) -> None:
    whole = losses(tmp_path / "whole", cache)
    assert losses(tmp_path / "chunks", cache, compute__text_chunk=5) == pytest.approx(whole, rel=1e-4)


def test_a_compiled_loss_trains_alike(tmp_path: Path, cache: Path) -> None:
    plain = losses(tmp_path / "plain", cache, optimiser__batch_size=12)
    assert losses(
        tmp_path / "compiled", cache, optimiser__batch_size=12, compute__compile="aot_eager"
    ) == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(("wrong", "said"), [(True, r"compiled and uncompiled losses are .* apart"), (False, "no gcc")])
def test_a_compiled_loss_is_checked(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, wrong: bool, said: str
) -> None:
    def compiled(function: Any, backend: str, fullgraph: bool) -> Any:
        def changed(batch: Any) -> torch.Tensor:
            if not wrong:
                raise RuntimeError("there is no gcc\nand much more")
            return 1.002 * function(batch)

        return changed

    monkeypatch.setattr(torch, "compile", compiled)
    run, config = new_run(tmp_path / "run", compute__compile="inductor")
    with pytest.raises(TrainerError, match=said):
        train(run, prepared(config, cache))


def test_deterministic_mode_holds_for_the_rounds_only(tmp_path: Path, cache: Path) -> None:
    seen: list[bool] = []

    def look(*_: object) -> None:
        seen.append(torch.are_deterministic_algorithms_enabled())

    run, config = new_run(tmp_path / "run", federation__rounds=1, compute__deterministic=True)
    ready = prepared(config, cache)
    train(run, Prepared(ready.config, ready.dataset, ready.method, cache, Reporter()), after_round=look)
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_gradient_that_is_not_finite_stops_before_the_update(tmp_path: Path, cache: Path) -> None:
    """A finite loss whose slope is not, as the norm of zero has it."""
    run, config = new_run(tmp_path / "run", data__sites=1)
    ready = prepared(config, cache)
    before = ready.method.exchanged()
    honest = ready.method.loss
    ready.method.loss = lambda batch: honest(batch) + (0 * ready.method.class_tokens).sum().abs().sqrt()  # type: ignore[method-assign, union-attr, operator]
    with pytest.raises(RunFailed, match=r"gradient's norm is nan at client 0, round 0, batch 0"):
        train(run, ready)
    assert all(torch.equal(before[name], value) for name, value in ready.method.exchanged().items())


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", loss__weight=1e38)
    ready = prepared(config, cache)
    before = ready.method.exchanged()
    with pytest.raises(RunFailed, match=r"client 0, round 0, batch 0"):
        train(run, ready)
    assert all(torch.equal(before[name], value) for name, value in ready.method.exchanged().items())


def test_device() -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    assert pick_device("cpu").type == "cpu"
    assert not torch.backends.cudnn.allow_tf32
    with pytest.raises(TrainerError, match="'cuda:77' is not available"):
        pick_device("cuda:77")
