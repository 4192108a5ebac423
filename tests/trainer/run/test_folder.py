"""A run's folder: its identity, and foreign or truncated files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from prompt_bank.recording.store import content_hash, dumps
from tests.trainer.small_runs import CLIP, SMALL, new_run, prepared
from tests.trainer.tiny import random_clip, small_bank
from trainer.data.partition import partition_hash
from trainer.data.registry import load_dataset
from trainer.errors import TrainerError
from trainer.preparing import Reporter, assemble
from trainer.resolving import resolve
from trainer.run.environment import code_revision
from trainer.run.folder import Run
from trainer.train import train


def test_a_run_records_its_identity(tmp_path: Path, cache: Path) -> None:
    """Hashes of bank, data, partition and backbone; going on with others is refused, going on as before is not."""
    file = tmp_path / "bank.json"
    config = resolve(overrides=SMALL)
    dataset = load_dataset(config.data)
    bank = small_bank(labels=dataset.label_names)
    file.write_text(dumps(bank))
    run = Run.create(tmp_path / "run", config, file)
    train(run, prepared(config, cache))
    found = run.identity()
    assert found is not None
    assert found["bank"]["hash"] == content_hash(bank)
    assert found["partition"]["clients"] == 2
    assert found["partition"]["hash"] == partition_hash(dataset.train)
    assert found["backbone"]["weights"] == f"sha256:{CLIP.weights_hash}"
    train(run, prepared(config, cache))
    dataset.train.sites[0] = 1 - dataset.train.sites[0]
    moved = assemble(config, dataset, CLIP, bank, cache, Reporter())
    with pytest.raises(TrainerError, match=r"run: partition changed since the run began"):
        train(run, moved)
    with pytest.raises(TrainerError, match=r"backbone changed"):
        train(run, assemble(config, load_dataset(config.data), random_clip(1), bank, cache, Reporter()))


def test_the_codes_commit_is_recorded(tmp_path: Path) -> None:
    run, _ = new_run(tmp_path / "run")
    written = json.loads((run.folder / "environment.json").read_text())["code"]
    assert written == code_revision()
    if (Path(__file__).parents[3] / ".git").exists():
        assert len(written["commit"]) == 40


def test_a_pickle_is_no_checkpoint(tmp_path: Path, cache: Path) -> None:
    """Neither under its own name nor under a checkpoint's, and its code does not run."""
    ran: list[int] = []

    class Trap:
        def __reduce__(self) -> Any:
            return ran.append, (1,)

    run, config = new_run(tmp_path / "run", federation__rounds=1)
    train(run, prepared(config, cache))
    for name in ("round-0009.safetensors", "round-0009.pt"):
        (run.folder / "checkpoints" / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(TrainerError, match=r"round-0009\.safetensors: unreadable checkpoint"):
        run.load_checkpoint()
    assert ran == []


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    new_run(tmp_path / "run")
    with pytest.raises(TrainerError, match="there is a run already"):
        new_run(tmp_path / "run")
    with pytest.raises(TrainerError, match="no run"):
        Run.open(tmp_path)


def test_a_truncated_checkpoint_is_named(tmp_path: Path, cache: Path) -> None:
    run, config = new_run(tmp_path / "run", federation__rounds=1)
    train(run, prepared(config, cache))
    run.checkpoints()[1].write_bytes(b"\0\0")
    with pytest.raises(TrainerError, match=r"round-0001\.safetensors: unreadable checkpoint"):
        run.load_checkpoint()
