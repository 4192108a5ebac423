"""Evaluation, reports and resuming refuse data with which a run was not trained; a folder that moved is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fedmpt.cli import build

WORDS = ("--set", "data.partition.clients=2", "--set", "evaluation.bootstrap=20")


def fedmpt(folder: Path, *words: str) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(build(words[0]), list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout + result.stderr


def add_rows(root: Path, numbers: range) -> None:
    with (root / "images.csv").open("a") as table:
        for number in numbers:
            Image.new("RGB", (16, 16), (number * 5 % 256, number * 11 % 256, 90)).save(root / f"{number}.png")
            table.write(f"{number}.png,{'cat' if number % 2 else 'dog'};{'sofa' if number % 3 else 'tree'}\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    (folder / "photos").mkdir()
    (folder / "photos" / "images.csv").write_text("image,labels\n")
    add_rows(folder / "photos", range(40))
    words = ("train", "--dataset", "table", "--data-root", "photos", "--method", "zero-shot", "--out", "run", *WORDS)
    assert fedmpt(folder, *words)[0] == 0
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


COMMANDS = (("evaluate", "run"), ("report", "run"), ("train", "--resume", "run"))


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_rows_that_were_added_draw_the_splits_anew(folder: Path, words: tuple[str, ...]) -> None:
    """Without a column `split`, images that were trained on would be among the test images."""
    add_rows(folder / "photos", range(40, 60))
    before = (folder / "run" / "evaluation.json").read_bytes()
    code, said = fedmpt(folder, *words, "--data-root", "photos")
    assert code == 2
    assert "partition" in said or "data" in said
    assert (folder / "run" / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_a_folder_that_moved_is_named_anew(folder: Path, words: tuple[str, ...]) -> None:
    (folder / "photos").rename(folder / "pictures")
    written = json.loads((folder / "run" / "config.json").read_text())
    written["data"]["data_root"] = str(folder / "photos")
    (folder / "run" / "config.json").write_text(json.dumps(written))
    code, said = fedmpt(folder, *words)
    assert (code, "--data-root" in said) == (2, True)
    code, said = fedmpt(folder, *words, "--data-root", "pictures")
    assert code == 0, said


def test_a_comparison_knows_figures_of_other_data(folder: Path) -> None:
    written = json.loads((folder / "run" / "evaluation.json").read_text())
    written["dataset_fingerprint"] = "0" * 64
    (folder / "run" / "evaluation.json").write_text(json.dumps(written))
    for words in (("compare", "run"), ("report", "run")):
        code, said = fedmpt(folder, *words, *(("--data-root", "photos") if words[0] == "report" else ()))
        assert code == 2
        assert "other data" in said


def test_a_bank_that_was_changed_is_refused(tmp_path: Path, cache: Path) -> None:
    import trainer
    from tests.trainer.runs import trained_run
    from trainer.errors import TrainerError

    run = trained_run(tmp_path / "run", cache, method__rank=4, federation__rounds=1)
    written = json.loads((run.folder / "bank.json").read_text())
    written["conditions"][0]["text"] = "something else"
    (run.folder / "bank.json").write_text(json.dumps(written))
    with pytest.raises(TrainerError, match=r"bank\.json: changed since the run began"):
        trainer.load(run.folder)


def test_python_makes_the_same_checks(folder: Path) -> None:
    import trainer
    from trainer.errors import TrainerError

    add_rows(folder / "photos", range(40, 60))
    for act in ("evaluate", "report", "resume"):
        with pytest.raises(TrainerError, match=r"partition|changed since the run began"):
            getattr(trainer.open_run(folder / "run", data_root=folder / "photos"), act)()


def test_python_waits_for_no_lock_and_refuses_other_weights(folder: Path) -> None:
    import trainer
    from trainer.errors import RunFailed, TrainerError

    run = trainer.open_run(folder / "run", data_root=folder / "photos")
    for act in ("evaluate", "report", "resume"):
        with run.working(), pytest.raises(RunFailed, match="another process is at work"):
            getattr(run, act)()
    written = json.loads((folder / "run" / "identity.json").read_text())
    written["backbone"]["weights"] = "sha256:" + "0" * 64
    (folder / "run" / "identity.json").write_text(json.dumps(written))
    for act in ("evaluate", "report", "resume", "predict"):
        stranger = trainer.open_run(folder / "run", data_root=folder / "photos")
        with pytest.raises(TrainerError, match="weights"):
            getattr(stranger, act)(*([[folder / "photos" / "1.png"]] if act == "predict" else []))
