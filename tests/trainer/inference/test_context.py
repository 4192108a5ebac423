"""Runs with a context term, from settings to an exported model that needs neither bank nor data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer
from tests.trainer.runs import SMALL, pictures
from tests.trainer.tiny import bank_with_affinities, small_bank
from trainer.data.scenes.objects import CLASSES
from trainer.errors import TrainerError
from trainer.evaluation.measuring import evaluate
from trainer.inference.export import export
from trainer.preparing import Prepared, prepare
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.train import train

NATURAL = {"data.scenes.variant": "natural"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def prepared(cache: Path, **settings: Any) -> Prepared:
    config = resolve(overrides={**SMALL, **NATURAL, **{f"method.{key}": value for key, value in settings.items()}})
    return prepare(config, bank_with_affinities(CLASSES), cache)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "zero-shot", "context": "bank"},
        {"name": "zero-shot", "context": "shuffled", "context_form": "compound"},
        {"name": "zero-shot", "context": "oracle", "context_conditions": ["place"]},
        {"name": "fedmpt", "context": "sites", "context_form": "posterior"},
        {"name": "fedmpt", "context": "bank", "context_form": "label-graph", "context_learned": True},
    ],
    ids=lambda settings: f"{settings['name']} {settings['context']}",
)
def test_export_predicts_the_same(settings: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    ready = prepared(cache, **settings)
    bank = tmp_path / "bank.json"
    bank.write_text(bank_with_affinities(CLASSES).model_dump_json(by_alias=True), encoding="utf-8")
    run = Run.create(tmp_path / "run", ready.config, bank)
    train(run, ready)
    evaluate(run, ready)
    knowledge = {k: v for k, v in ready.method.exchanged().items() if k.startswith("context_term.") and v.dim() > 1}
    start = run.load_checkpoint("0")[1]
    assert knowledge and all(torch.equal(start[name], value) for name, value in knowledge.items()), (
        "aggregation changed the knowledge"
    )
    export(run, tmp_path / "model")
    paths = pictures(tmp_path / "photos", 2)
    ours, theirs = trainer.load(run.folder), trainer.load(tmp_path / "model")
    for mine, other in zip(ours.predict(paths), theirs.predict(paths), strict=True):
        np.testing.assert_allclose(list(other.values()), list(mine.values()), atol=1e-6)
    for label in theirs.explain(paths[0], ["cat", "sofa"]).labels:
        assert label.context is not None
        if label.conditions is not None:
            assert label.logit == pytest.approx(sum(share.adds for share in label.conditions) + label.context, abs=1e-4)


def test_sources_differ(cache: Path) -> None:
    found = []
    for source in ("bank", "shuffled", "sites", "oracle"):
        term = prepared(cache, name="zero-shot", context=source).method.context_term
        assert term is not None
        found.append(term.lifts)
    bank, shuffled, sites, _ = found
    assert torch.equal(bank.sort(dim=1).values, shuffled.sort(dim=1).values) and not torch.equal(bank, shuffled)
    assert sites.shape == bank.shape and not torch.equal(sites, bank)


def test_missing_input_is_an_error(cache: Path) -> None:
    with pytest.raises(TrainerError, match="needs a prompt bank"):
        prepare(resolve(overrides={**SMALL, "method.name": "zero-shot", "method.context": "bank"}), None, cache)
    with pytest.raises(TrainerError, match="no active condition with an affinity"):
        config = resolve(overrides={**SMALL, "method.context": "bank"})
        prepare(config, small_bank(labels=CLASSES, values=("street",)), cache)
    with pytest.raises(TrainerError, match="variant=natural"):
        prepare(resolve(overrides={**SMALL, "method.name": "zero-shot", "method.context": "oracle"}), None, cache)
