"""An interval that does not hold its own metric is not shown; what compare shows is not changed in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fedmpt.cli import build
from tests.trainer.runs import trained_run
from trainer.evaluation.bootstrap import intervals, trusted
from trainer.evaluation.comparison import half_width
from trainer.evaluation.metrics import compute_metrics
from trainer.seeding import numpy_generator


@pytest.mark.parametrize("images", [4, 6, 9, 15, 30, 300])
@pytest.mark.parametrize("seed", range(5))
def test_every_interval_holds_its_metric_or_is_missing_with_a_reason(images: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(images, 12, generator=generator) < 0.15).long()
    labels[0, 0] = 1
    logits = torch.randn(images, 12, generator=generator) + labels
    metrics = compute_metrics(logits, labels, 0.5).to_dict()
    ends = intervals(logits, labels, 0.5, resamples=200, level=0.95, generator=numpy_generator(seed, "b"))
    kept, reason = trusted(ends, metrics, labels)
    missing = [name for name, two in kept.items() if two is None]
    assert (reason is None) == (missing == [])
    for name, two in kept.items():
        if two is None:
            assert name in str(reason)
            assert half_width({**kept}, name) == "–"
        else:
            assert two[0] - 1e-6 <= metrics[name] <= two[1] + 1e-6
    if images == 300:
        assert missing == []


def test_a_few_images_lose_the_interval() -> None:
    """One positive of each of many labels, ranked in the middle: every resample that has it has it twice as often."""
    labels = torch.eye(9, 9).long()
    logits = torch.arange(9.0)[:, None].expand(9, 9).clone()
    ends = intervals(logits, labels, 0.5, resamples=300, level=0.95, generator=numpy_generator(0, "b"))
    kept, reason = trusted(ends, compute_metrics(logits, labels, 0.5).to_dict(), labels)
    assert kept["mAP"] is None
    assert "9 test images, and 1 positive for the rarest label" in str(reason)


def test_another_checkpoint_does_not_replace_figures_in_silence(tmp_path: Path, cache: Path) -> None:
    run = trained_run(tmp_path / "run", cache, method__name="coop")

    def fedmpt(*words: str) -> tuple[str, str]:
        result = CliRunner().invoke(build(words[0]), list(words), env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.stdout, result.stderr

    evaluate = ("evaluate", str(run.folder), "--cache-dir", str(cache))
    assert "now show checkpoint" not in fedmpt(*evaluate)[1]
    said = fedmpt(*evaluate, "--checkpoint", "1")[1]
    assert "now show checkpoint 1" in said
    assert "no longer 2" in said
    shutil.copytree(run.folder, tmp_path / "other")
    shown = fedmpt("compare", str(run.folder), str(tmp_path / "other"))[0]
    assert "rounds" in shown
