"""predict and export as a user types them; all but one in this process, since importing torch takes longest."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from fedmpt.cli import build
from tests.fedmpt import test_command
from tests.trainer.runs import pictures, trained_run


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def fedmpt(*words: str, cwd: Path) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        result = CliRunner().invoke(build(words[0]), list(words))
    return Done(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    trained_run(folder / "run", folder / "cache", method__rank=4, method__logit={"bias": 0.05})
    pictures(folder / "photos")
    (folder / "mixed").mkdir()
    pictures(folder / "mixed", 1)
    (folder / "mixed" / "text.jpg").write_text("no image")
    Image.effect_noise((64, 64), 50).convert("RGB").save(folder / "mixed" / "cut.jpg")
    whole = (folder / "mixed" / "cut.jpg").read_bytes()
    (folder / "mixed" / "cut.jpg").write_bytes(whole[:-400])
    return folder


def test_formats_say_the_same(folder: Path) -> None:
    words = ("predict", "run", "photos", "--top", "2")
    spoken = json.loads(fedmpt(*words, "--json", cwd=folder).stdout)
    assert [row["image"] for row in spoken["images"]] == [f"photos/photo-{i}.png" for i in range(3)]
    assert spoken["unreadable"] == []
    done = fedmpt(*words, "--format", "csv", "--out", "found.csv", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    with (folder / "found.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    flat = [(image["image"], label) for image in spoken["images"] for label in image["labels"]]
    assert len(rows) == len(flat) == 6
    for row, (image, label) in zip(rows, flat, strict=True):
        assert (row["image"], row["label"]) == (image, label["label"])
        assert float(row["probability"]) == pytest.approx(label["probability"], abs=1e-6)
        assert row["predicted"] == str(label["probability"] > spoken["threshold"]).lower()
    table = test_command.fedmpt(*words, cwd=folder).stdout.splitlines()
    first = spoken["images"][0]["labels"][0]
    assert f"{first['label']} {first['probability']:.2f}" in table[0]


def test_an_export_predicts_what_the_run_does_and_says_why(folder: Path) -> None:
    done = fedmpt("export", "run", "--out", "model", cwd=folder)
    assert done.returncode == 0, done.stderr
    words = ("photos", "--threshold", "0.45", "--explain")
    found = [fedmpt("predict", name, *words, f"why-{name}", "--json", cwd=folder) for name in ("run", "model")]
    ours, theirs = (json.loads(one.stdout)["images"] for one in found)
    for a, b in zip(ours, theirs, strict=True):
        assert [label["label"] for label in a["labels"]] == [label["label"] for label in b["labels"]]
        assert a["labels"][0]["probability"] == pytest.approx(b["labels"][0]["probability"], abs=2e-6)
        explained = a["explanation"]["labels"][0]
        assert sum(share["adds"] for share in explained["conditions"]) == pytest.approx(explained["logit"], abs=1e-3)
    one = folder / "why-model" / "00001-photo-0"
    described = json.loads((one / "explanation.json").read_text())
    for row in described["labels"]:
        with Image.open(one / row["heat_map"]) as drawn:
            assert drawn.format == "PNG"
    assert len(list(one.glob("0?-*.png"))) == len(ours[0]["labels"])
    assert "photos/photo-0.png" in (one.parent / "index.html").read_text()
    again = fedmpt("predict", "model", *words, "why-model", cwd=folder)
    assert again.returncode == 2
    assert "there is something already" in again.stderr


def test_unreadable_images_are_listed(folder: Path) -> None:
    """What is no image is found before any work; what turns out to be cut off loses nobody else's labels."""
    done = fedmpt("predict", "run", "mixed", "--out", "x.json", cwd=folder)
    assert done.returncode == 2
    assert "1 unreadable image:\n  mixed/text.jpg: not an image" in done.stderr
    assert not (folder / "x.json").exists()
    done = fedmpt("predict", "run", "mixed/cut.jpg", "mixed/photo-0.png", "--format", "csv", cwd=folder)
    assert done.returncode == 2
    assert "mixed/cut.jpg: image file is truncated" in done.stderr
    assert "mixed/photo-0.png," in done.stdout
    done = fedmpt("predict", "run", "mixed", "--json", "--skip-unreadable", cwd=folder)
    assert done.returncode == 0
    spoken = json.loads(done.stdout)
    assert [row["image"] for row in spoken["images"]] == ["mixed/photo-0.png"]
    assert [row["image"] for row in spoken["unreadable"]] == ["mixed/cut.jpg", "mixed/text.jpg"]
    assert "skipped: 2 unreadable images" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have no such names")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_file_names_that_are_not_utf_8(folder: Path, form: str) -> None:
    photos = folder / "latin"
    photos.mkdir(exist_ok=True)
    shutil.copy(folder / "photos" / "photo-0.png", os.fsencode(photos) + b"/k\xe4se.png")
    (photos / "notes.heic").write_bytes(b"")
    done = fedmpt("predict", "run", "latin", "--format", form, "--top", "1", "--explain", f"why-{form}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "latin/k\\xe4se.png" in done.stdout.replace("\\\\", "\\")
    assert "note: passed over for their suffixes: 1 .heic" in done.stderr
    assert "k\\xe4se.png" in (folder / f"why-{form}" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "nowhere", "photos"), "neither a run nor an exported model"),
        (("predict", "run", "nowhere.png"), "nowhere.png: there is no such file or folder"),
        (("predict", "run", "photos", "--checkpoint", "7"), "no checkpoint '7'"),
        (("predict", "run", "photos", "--device", "cuda:77"), "not available"),
        (("export", "run", "--out", "photos"), "there is something already"),
        (("export", "nowhere", "--out", "x"), "there is no run"),
    ],
)
def test_mistakes_are_answered_in_a_line(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = fedmpt(*words, cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
