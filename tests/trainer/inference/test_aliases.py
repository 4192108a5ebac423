"""A bank that names a label otherwise than the data: trained, loaded and exported all the same."""

from __future__ import annotations

from pathlib import Path

import trainer
from prompt_bank.schema import Bank, Label
from tests.trainer.runs import SMALL, pictures
from tests.trainer.tiny import small_bank
from trainer.data.scenes.objects import CLASSES
from trainer.evaluation.measuring import evaluate
from trainer.inference.export import export
from trainer.preparing import prepare
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.train import train


def with_alias(bank: Bank) -> Bank:
    first, *others = bank.labels
    return bank.model_copy(update={"labels": (Label(name="airliner", aliases=(first.name,)), *others)})


def test_a_run_with_an_alias_is_loaded_and_exported(tmp_path: Path, cache: Path) -> None:
    config = resolve(overrides={**SMALL, "federation.rounds": 1, "method.rank": 4, "evaluation.clients": False})
    bank, path = with_alias(small_bank(labels=CLASSES)), tmp_path / "bank.json"
    path.write_text(bank.model_dump_json(by_alias=True), encoding="utf-8")
    ready = prepare(config, bank, cache)
    assert any(f"'airliner' of bank 'small' is the data's '{CLASSES[0]}'" in note for note in ready.dataset.notes)
    run = Run.create(tmp_path / "run", ready.config, path)
    train(run, ready)
    assert evaluate(run, ready)["renamed_labels"] == {"airliner": CLASSES[0]}
    images = pictures(tmp_path / "photos", 2)
    found = trainer.load(run.folder).predict(images)
    assert list(found[0]) == list(CLASSES)
    assert trainer.load(export(run, tmp_path / "model")).predict(images) == found
