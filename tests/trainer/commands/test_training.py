"""fedmpt train as a new user runs it: plan, warnings, yardsticks, more rounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.trainer.commands.test_datasets import fedmpt
from trainer.run.folder import Run

SMALL = ("--set", "data.sites=2", "--set", "data.images_per_site=12", "--set", "data.validation_images=20")
QUICK = (*SMALL, "--set", "data.test_images=20", "--set", "evaluation.bootstrap=0", "--method", "coop")


def test_a_dry_run_says_steps_and_time_and_leaves_no_run(tmp_path: Path) -> None:
    done = fedmpt("train", *QUICK, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan, expected = done.stdout.splitlines()
    assert plan == (
        "2 clients by site, 24 training images; batches of 8: 2 steps a round at a client, 200 rounds, 800 steps in all"
    )
    assert expected.startswith("expected: ")
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("trained")
    done = fedmpt("train", *QUICK, "--rounds", "1", "--set", "optimiser.learning_rate=1e-9", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def test_yardsticks_stand_in_every_table(trained: tuple[Path, str]) -> None:
    folder, said = trained
    compared = fedmpt("compare", "runs/coop-scenes-1", cwd=folder).stdout
    reported = fedmpt("report", "runs/coop-scenes-1", cwd=folder)
    assert reported.returncode == 0, reported.stderr
    page = (folder / "runs" / "coop-scenes-1" / "report.html").read_text()
    for title in ("every label always", "label prevalence", "zero-shot CLIP", "linear probe, images pooled"):
        assert title in said
        assert title in compared
        assert title in page
    # The best patch beats the image feature that an untrained CoOp compares with.
    assert "is below zero-shot CLIP" in said
    assert "is below zero-shot CLIP" in page


def test_a_finished_run_goes_on(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    refused = fedmpt("train", "--resume", "runs/coop-scenes-1", "--rounds", "0", cwd=folder)
    assert refused.returncode == 2
    assert "it has 1 of its rounds already" in refused.stderr
    planned = fedmpt("train", "--resume", "runs/coop-scenes-1", "--rounds", "7", "--dry-run", cwd=folder)
    assert "7 rounds" in planned.stdout, planned.stderr
    assert Run.open(folder / "runs" / "coop-scenes-1").config().federation.rounds == 1
    done = fedmpt("train", "--resume", "runs/coop-scenes-1", "--rounds", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "the learning rate falls over all rounds (cosine)" in done.stderr
    run = Run.open(folder / "runs" / "coop-scenes-1")
    assert run.evaluation()["rounds"] == run.config().federation.rounds == 2


def test_each_command_names_the_next(trained: tuple[Path, str], tmp_path: Path) -> None:
    assert "next: fedmpt report runs/coop-scenes-1   fedmpt try runs/coop-scenes-1" in trained[1]
    (tmp_path / "my labels.txt").write_text("cat\ndog\n")
    said = fedmpt("labels", "my labels.txt", cwd=tmp_path).stderr
    assert "next: fedmpt mine-conditions --labels 'my labels.txt' --about" in said
    rows = ["image,site,cat,dog"]
    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number, 90, 90)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{number % 2},{number % 3 == 0:d},{number % 2:d}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    checked = fedmpt("datasets", "check", "table", "--data-root", ".", cwd=tmp_path)
    assert "next: fedmpt train --bank bank.json --dataset table --data-root ." in checked.stderr, checked.stdout
