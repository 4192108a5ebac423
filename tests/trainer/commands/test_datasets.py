"""The dataset commands, and training on image files, as run by users."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from prompt_bank.recording.store import record
from prompt_bank.schema import Bank, Condition, Label
from tests.trainer import layouts
from trainer.data.base import MultiLabelDataset
from trainer.data.partition import partition_hash
from trainer.data.registry import DATASETS, load_dataset
from trainer.resolving import resolve
from trainer.run.folder import Run

QUICK = ("--set", "evaluation.bootstrap=0", "--set", "federation.rounds=1", "--backbone", "scenes-tiny")


def fedmpt(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fedmpt", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "FEDMPT_CACHE_DIR": str(cwd / "cache"), "COLUMNS": "160", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def world() -> MultiLabelDataset:
    small = {"images_per_site": 10, "sites": 2, "validation_images": 1, "test_images": 8}
    return load_dataset(resolve(overrides={f"data.{k}": v for k, v in small.items()}).data)


@pytest.fixture
def own(tmp_path: Path, world: MultiLabelDataset) -> Path:
    """Photographs of a small practice: a table, two sites, one unreadable file, and a bank for the labels."""
    folder = tmp_path / "own"
    folder.mkdir()
    shown: set[str] = set()
    with (folder / "table.csv").open("w") as table:
        table.write("path,labels,site,split\n")
        for split in (world.train, world.test):
            for index, id_ in enumerate(split.ids):
                names = [n for n, v in zip(world.label_names, split.labels[index], strict=True) if v == 1]
                shown.update(names)
                site = f"site {'ab'[split.sites[index]]}" if split.name == "train" else ""
                table.write(f"{id_}.png,{';'.join(names)},{site},{split.name}\n")
                split.image(index).save(folder / f"{id_}.png")
    (folder / "train-000003.png").write_bytes(b"gone")
    Image.new("CMYK", (50, 40)).save(folder / "train-000004.png".replace("png", "jpg"))
    text = (folder / "table.csv").read_text().replace("train-000004.png", "train-000004.jpg")
    (folder / "table.csv").write_text(text)
    bank = Bank(
        name="own",
        labels=tuple(Label(name=name) for name in sorted(shown)),
        conditions=(Condition(id="light", text="lighting"), Condition(id="place", text="location")),
    )
    record(bank, tmp_path / "bank.json", by="test", did="made")
    return folder


def test_list_names_every_data_set(tmp_path: Path) -> None:
    done = fedmpt("datasets", "list", "--json", cwd=tmp_path)
    assert [row["name"] for row in json.loads(done.stdout)] == ["scenes", *DATASETS]
    assert all(row["page"].startswith(("http", "docs")) for row in json.loads(done.stdout)[1:])


def test_check_says_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    layouts.voc2007(tmp_path / "data")
    done = fedmpt("datasets", "check", "voc2007", "--data-root", "data", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "complete")
    assert "10 of 10 images can be read" in done.stdout
    assert "horse 2" in done.stdout
    assert "horse + person 1" in done.stdout
    images = tmp_path / "data/VOCdevkit/VOC2007/JPEGImages"
    (images / "000001.jpg").write_bytes((images / "000016.jpg").read_bytes())
    again = fedmpt("datasets", "check", "voc2007", "--data-root", "data", cwd=tmp_path).stdout
    assert again.count("THE SAME FILE IN TWO SPLITS") == 1
    assert "JPEGImages/000016.jpg and VOCdevkit/VOC2007/JPEGImages/000001.jpg" in again
    sets = tmp_path / "data/VOCdevkit/VOC2007/ImageSets/Main"
    (sets / "test.txt").unlink()
    missing = fedmpt("datasets", "check", "voc2007", "--data-root", "data", "--json", cwd=tmp_path)
    told = json.loads(missing.stdout)
    assert (missing.returncode, told["complete"], told["splits"]) == (2, False, None)
    assert [row["path"].rsplit("/", 1)[1] for row in told["missing"]] == ["test.txt"]
    assert told["page"].startswith("http://host.robots.ox.ac.uk")


def test_check_counts_without_images(tmp_path: Path) -> None:
    """Lists alone are enough for the counts; the images are named as missing."""
    layouts.multiscene(tmp_path)
    for file in (tmp_path / "MultiScene-Clean/images").iterdir():
        file.unlink()
    (tmp_path / "MultiScene-Clean/images").rmdir()
    words = ("datasets", "check", "multiscene", "--data-root", ".")
    told = json.loads(fedmpt(*words, "--no-images", "--json", cwd=tmp_path).stdout)
    assert told["splits"]["train"]["images"] == 4
    assert told["splits"]["train"]["labels"]["airport apron"] == 2
    assert told["unreadable"] is None
    looked = fedmpt(*words, cwd=tmp_path)
    assert looked.returncode == 2
    assert "MISSING  the images" in looked.stdout
    assert "0 of 6 images can be read" in looked.stdout


def test_partition_is_shown_drawn_saved_and_used(tmp_path: Path, own: Path) -> None:
    words = ("datasets", "partition", "table", "--data-root", own, "--kind", "kmeans", "--clients", "3")
    refused = fedmpt(*words, cwd=tmp_path)
    assert refused.returncode == 2
    assert "train-000003.png: not an image" in refused.stderr
    words = (*words, "--skip-unreadable")
    shown = fedmpt(*words, "--out", "p.json", "--plot", "p.png", "--json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert Image.open(tmp_path / "p.png").size[0] > 400
    told = json.loads(shown.stdout)
    saved = json.loads((tmp_path / "p.json").read_text())
    assert told["hash"] == saved["hash"]
    assert sum(row["images"] for row in told["clients"]) == 17
    assert [row["images"] for row in told["clients"]] == [len(ids) for ids in saved["clients"].values()]
    trained = fedmpt(
        *("train", "--method", "zero-shot", "--dataset", "table", "--data-root", own, "--skip-unreadable"),
        *("--partition", "p.json", "--out", "run", *QUICK),
        cwd=tmp_path,
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "run/partition.json").read_text())["hash"] == saved["hash"]
    # The run has its own copy, so it can be measured again when the file is gone.
    (tmp_path / "p.json").unlink()
    again = load_dataset(Run.open(tmp_path / "run").config().data)
    assert partition_hash(again.train) == saved["hash"]


def test_train_on_images_of_your_own(tmp_path: Path, own: Path) -> None:
    """Unreadable images stop it unless they are skipped; clients are the table's sites; no run goes on with
    other owners."""
    words = ("train", "--bank", "bank.json", "--dataset", "table", "--data-root", "own", "--out", "run", *QUICK)
    refused = fedmpt(*words, cwd=tmp_path)
    assert refused.returncode == 2
    assert "1 of 28 images" in refused.stderr
    assert not (tmp_path / "run").exists()
    done = fedmpt(*words, "--skip-unreadable", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: left out: 1 of 28 images" in done.stderr
    result = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert (result["dataset"], result["images"]) == ("table", 8)
    saved = json.loads((tmp_path / "run/partition.json").read_text())
    assert (saved["site_names"], saved["kind"]) == (["site a", "site b"], "site")
    (own / "table.csv").write_text((own / "table.csv").read_text().replace("site a", "site c", 1))
    changed = fedmpt("train", "--resume", "run", cwd=tmp_path)
    assert changed.returncode == 2
    assert "own other images" in changed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "voc"), "voc2007"),
        (("check", "voc2007"), "--data-root"),
        (("check", "scenes"), "nothing of it can be missing"),
        (("check", "voc2007", "--data-root", "nowhere"), "no such folder"),
        (("partition", "scenes", "--kind", "random"), "data.partition.kind"),
        (("partition", "scenes", "--kind", "dirichlet", "--clients", "0"), "data.partition.clients"),
    ],
)
def test_mistakes_are_answered_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = fedmpt("datasets", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
