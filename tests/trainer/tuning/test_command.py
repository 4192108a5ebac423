"""fedmpt tune as a user runs it, on a table of own images with sites."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from tests.trainer.test_other_data import fedmpt
from trainer.run.folder import Run

WORDS = ("--dataset", "table", "--data-root", "photos", "--method", "coop", "--rounds", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = ["image,site,cat,dog"]
    for number in range(40):
        Image.new("RGB", (16, 16), (number * 5 % 256, number * 11 % 256, 90)).save(photos / f"{number}.png")
        rows.append(f"{number}.png,{number % 2},{number % 3 == 0:d},{number // 2 % 2:d}")
    (photos / "table.csv").write_text("\n".join(rows))
    return tmp_path


def test_tries_on_own_images_give_a_settings_file_that_train_uses(folder: Path) -> None:
    code, said = fedmpt(folder, "tune", *WORDS, "--tries", "2")
    assert code == 0, said
    study = folder / "runs" / "tune-coop-table"
    assert "next: fedmpt train --config runs/tune-coop-table/best.toml" in said
    with (study / "tries.csv").open(newline="") as file:
        tries = list(csv.DictReader(file))
    best = max(tries, key=lambda row: float(row["validation mAP"]))
    code, said = fedmpt(folder, "train", "--config", "runs/tune-coop-table/best.toml", "--out", "run")
    assert code == 0, said
    run = Run.open(folder / "run")
    rate = float(best["optimiser.learning_rate"] or 0.01)
    assert run.config().optimiser.learning_rate == rate
    assert run.metrics()[-1]["validation"]["mAP"] == float(best["validation mAP"])
    assert tomllib.loads((study / "best.toml").read_text())["method"]["name"] == "coop"


def test_a_dry_run_says_space_and_time(folder: Path) -> None:
    code, said = fedmpt(folder, "tune", *WORDS, "--tries", "7", "--space", "optimiser.batch_size=8:16", "--dry-run")
    assert code == 0, said
    assert "optimiser.learning_rate: 0.0003 to 0.03, log (as given: 0.01)" in said
    assert "optimiser.batch_size: 8 to 16 (as given: auto)" in said
    assert "each of 7 tries: 2 clients" in said
    assert "expected: at most" in said
    assert not (folder / "runs").exists()


def test_zero_shot_has_nothing_to_tune(folder: Path) -> None:
    code, said = fedmpt(folder, "tune", *WORDS[:4], "--method", "zero-shot")
    assert code == 2
    assert "zero-shot trains nothing, so there is nothing to tune" in said
