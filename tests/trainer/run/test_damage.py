"""A damaged file of a run is one clear error that names it; a comparison goes on with the other runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import trainer
from fedmpt.common.errors import FedmptError
from tests.trainer.runs import pictures, trained_run
from trainer.backbone.tensor_files import read_checked, save_checked
from trainer.errors import TrainerError
from trainer.evaluation.comparison import rows, usable
from trainer.inference.export import export
from trainer.run.folder import Run

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2] + b"\n",
    "not UTF-8": lambda content: content.replace(b'"', b'"\xff', 1),
    "a list": lambda content: b"[]\n",
    "a number": lambda content: b"1\n",
    "null": lambda content: b"null\n",
    "deep": lambda content: b"[" * 100_000 + b"\n",
    "long number": lambda content: b'{"rounds": ' + b"9" * 5000 + b"}\n",
    "infinite": lambda content: b'{"rounds": 1e999}\n',
    "surplus": lambda content: content.replace(b"{", b'{"surplus": "x", ', 1),
    "text for a number": lambda content: content.replace(b": 1", b': "1"').replace(b": 2", b': "2"'),
    "huge": lambda content: content.replace(b": 1", b": 1" + b"0" * 200).replace(b": 2", b": 2" + b"0" * 200),
    "no object": lambda content: content.replace(b"{", b"[", 1).replace(b"}", b"]", 1),
}

READERS: dict[str, Callable[[Run], Any]] = {
    "config.json": Run.config,
    "environment.json": Run.environment,
    "identity.json": Run.identity,
    "evaluation.json": Run.evaluation,
    "metrics.jsonl": Run.metrics,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    trained_run(folder / "run", folder / "cache", method__name="coop", federation__rounds=1)
    pictures(folder / "photos", 1)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    return Run.open(Path(shutil.copytree(trained / "run", tmp_path / "run")))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_named(run: Run, name: str, damage: str) -> None:
    path = run.folder / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    if (name, damage) == ("metrics.jsonl", "empty"):  # a run without rounds
        assert run.metrics() == []
        return
    with pytest.raises(FedmptError, match=name.replace(".", r"\.")):
        READERS[name](run)


def test_a_comparison_goes_on_without_a_damaged_run(run: Run, trained: Path) -> None:
    (run.folder / "evaluation.json").write_text('{"test": 1')
    runs, problems = usable([trained / "run", run.folder])
    assert [row["run"] for row in rows(runs)] == [str(trained / "run")]
    assert f"{run.folder / 'evaluation.json'}, line 1: not JSON" in str(problems[0])
    with pytest.raises(FedmptError, match=r"evaluation\.json"):
        usable([run.folder])


@pytest.mark.parametrize("bit", [3, 900, -1, -40])
def test_a_flipped_bit_in_a_checkpoint_is_noticed(run: Run, bit: int) -> None:
    path = run.checkpoints()[1]
    content = bytearray(path.read_bytes())
    content[bit] ^= 16
    path.write_bytes(content)
    with pytest.raises(TrainerError, match=r"round-0001\.safetensors: unreadable checkpoint"):
        trainer.load(run.folder)


def test_a_checkpoint_of_another_round_is_noticed(run: Run) -> None:
    shutil.copy(run.checkpoints()[0], run.checkpoints()[1])
    with pytest.raises(TrainerError, match="damaged"):
        run.load_checkpoint()


def spoiled(value: torch.Tensor, how: str) -> torch.Tensor:
    if how == "nan":
        return torch.full_like(value, torch.nan)
    if how == "infinite":
        return torch.full_like(value, torch.inf)
    if how == "integers":
        return torch.ones(value.shape, dtype=torch.int32)
    if how == "bool":
        return torch.ones(value.shape, dtype=torch.bool)
    return value[None] if how == "shape" else value.to(torch.complex64)


HOW = ("nan", "infinite", "integers", "bool", "shape", "complex")


@pytest.mark.parametrize("how", HOW)
def test_numbers_of_a_checkpoint_are_checked(run: Run, how: str) -> None:
    path = run.checkpoints()[1]
    save_checked(path, {name: spoiled(value, how) for name, value in load_file(path).items()}, "round 1")
    with pytest.raises(TrainerError):
        trainer.load(run.folder)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["model.safetensors", "backbone.safetensors"])
def test_numbers_of_an_export_are_checked(trained: Path, tmp_path: Path, name: str, how: str) -> None:
    from tests.trainer.inference.test_export import signed

    model = export(Run.open(trained / "run"), tmp_path / "model")
    for key in load_file(model / name):
        weights = load_file(trained_file(trained, name))
        save_file({**weights, key: spoiled(weights[key], how)} if weights[key].dim() else weights, model / name)
        if weights[key].dim():
            with pytest.raises(TrainerError):
                trainer.load(signed(model))


def trained_file(trained: Path, name: str) -> Path:
    if not (trained / "model").exists():
        export(Run.open(trained / "run"), trained / "model")
    return trained / "model" / name


def test_weights_that_overflow_give_no_probabilities(trained: Path, tmp_path: Path) -> None:
    from tests.trainer.inference.test_export import signed

    model = export(Run.open(trained / "run"), tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    save_file({name: value * 1e30 for name, value in weights.items()}, model / "model.safetensors")
    try:
        found = trainer.load(signed(model)).predict(sorted((trained / "photos").iterdir()))
    except TrainerError:
        return
    assert all(0 <= value <= 1 for row in found for value in row.values())


def test_a_checksum_covers_names_and_purpose(tmp_path: Path) -> None:
    save_checked(tmp_path / "a.safetensors", {"x": torch.ones(2)}, "round 1")
    assert read_checked(tmp_path / "a.safetensors", "round 1")["x"].tolist() == [1, 1]
    with pytest.raises(TrainerError, match="damaged"):
        read_checked(tmp_path / "a.safetensors", "round 2")
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(TrainerError, match="damaged"):
        read_checked(tmp_path / "a.safetensors", "round 1")
