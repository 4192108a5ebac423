"""Table 5: what a step costs, measured in fresh processes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prompt_bank.recording.store import load as load_bank
from trainer.backbone.load import load_backbone
from trainer.methods.base import MethodContext
from trainer.methods.registry import build
from trainer.reproducing.costs import cost_conditions, cost_sheet, costs_csv
from trainer.reproducing.overhead import Cost, measure, measure_all
from trainer.reproducing.running import Wanted, measure_costs


def test_costs_are_those_of_the_methods_and_a_failure_is_shown(tmp_path: Path) -> None:
    plan = Wanted("table5", methods=("zero-shot", "coop"), given={"optimiser.batch_size": 2}, out=tmp_path).plan()
    settings = [plan.settings(row, None, 0).model_copy(update={"device": "cpu"}) for row in plan.rows]
    broken = settings[1].model_copy(update={"device": "cuda:77"})
    rows = [*zip(plan.rows, settings, strict=True), (plan.rows[1], broken)]
    free, coop, failed = measure_all(rows, plan.bank, steps=1)
    names = tuple(label.name for label in load_bank(plan.bank).bank.labels)
    clip = load_backbone("scenes-tiny", None)
    context = MethodContext(clip, names, None, settings[1].method, settings[1].loss, torch.Generator())
    method = build("coop", context)
    assert coop.trainable == method.trainable()
    assert coop.total == sum(p.numel() for part in (clip.model, method) for p in part.parameters())
    assert free.cached is None
    assert coop.cached is not None
    assert coop.encoded is not None
    assert min(coop.encoded, coop.cached) > 0
    assert coop.peak > 1e8  # torch alone is larger
    assert "cuda:77" in failed.failure
    where = cost_conditions(settings[0], torch.device("cpu"), plan)
    assert where.startswith("scenes-tiny, 24 labels (scenes), batches of 2, CPU")
    lines = list(csv.DictReader(io.StringIO(costs_csv([free, coop, failed]))))
    assert lines[1]["trainable"] == str(coop.trainable)
    assert any("cuda:77" in note for note in cost_sheet([free, coop, failed], "t", where).notes)


def test_rows_that_are_measured_outlive_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Wanted("table5", methods=("zero-shot", "coop"), out=tmp_path).plan()

    def interrupted(rows: list[Any], bank: Path) -> Iterator[Cost]:
        yield measure(*rows[0], bank, 1, 1)
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.reproducing.running.measure_all", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        measure_costs(plan, "cpu", said.append)
    assert said == ["zero-shot  trains nothing"]
    (line,) = csv.DictReader((tmp_path / "table5-scenes.csv").open(encoding="utf-8"))
    assert line["method"] == "zero-shot"
    assert "zero-shot" in (tmp_path / "index.html").read_text(encoding="utf-8").lower()
