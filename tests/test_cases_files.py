"""Every file of the collected cases: read as a person means it, or refused in clear lines; never a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from condition_miner.labels.labels import read_labels
from fedmpt.cli import build
from fedmpt.common.annotations import Annotations
from fedmpt.common.errors import FedmptError
from tests.shared import SHARED, shared
from trainer.data.images import UnreadableImage, check_header, check_pixels, read_image

CASES = SHARED / "cases"
CAT_DOG = ["cat", "dog"]
THREE = ["cat", "dog", "sofa"]


def cases(family: str) -> list[str]:
    folder = CASES / family
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


LABELS: dict[str, list[str] | str] = {
    **dict.fromkeys(("bom.json", "bomcoco.json", "c_annfloat.json", "c_annstr.json", "c_float.json"), CAT_DOG),
    **dict.fromkeys(("c_floatimg.json", "c_nan.json", "c_null.json", "c_roboflow1.json", "c_roboflow2.json"), CAT_DOG),
    **dict.fromkeys(("data.yaml", "data2.yaml", "id2label.json", "l.jsonl", "l.ndjson", "map.pbtxt"), CAT_DOG),
    **dict.fromkeys(("pipe.csv", "pylist.csv", "sep.csv", "sep1.csv"), CAT_DOG),
    **dict.fromkeys(("chex.csv", "idx.csv", "idx2.csv", "tf.csv", "l.txt", "pyset.csv"), THREE),
    "c_lvis.json": ["aerosol_can", "baseball_bat"],
    "coco_paper.txt": ["person", "bicycle"],
    "hash.txt": ["C# code", "cat"],
    "unq.csv": ["hot dog", "box, cardboard", "box, wooden"],
    "labels.md": "line 6",
    "ls.xml": "labels are not read from .xml",
    "synset.txt": "line 3: 'crane' is already at line 2",
    "utf16.json": "save the file as UTF-8",
}
"""The labels, or a part of the error."""

DOUBTFUL = {"plant.csv": "if spaces separate", "space.csv": "if spaces separate", "hash.txt": "is a comment"}
"""What is read, with a warning."""


@pytest.mark.parametrize("name", cases("labels"))
def test_labels(name: str) -> None:
    path = shared(f"cases/labels/{name}")
    expected = LABELS.get(name)
    if isinstance(expected, str):
        with pytest.raises(FedmptError, match=expected) as caught:
            read_labels(path)
        assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())
        return
    read = read_labels(path)
    if expected is not None:
        assert [label.name for label in read.labels] == expected
    if name in DOUBTFUL:
        assert any(DOUBTFUL[name] in warning for warning in read.warnings)
    assert expected is not None or name in DOUBTFUL, "a new case: say what is right"


VOC: dict[str, set[str] | str] = {
    "appledouble-annotations": {"cat", "dog"},
    "appledouble-imagesets": {"cat", "dog"},
    "gb2312": {"cat", "dog", "猫"},
    "uppercase-XML": {"cat"},
    "object-without-name": "3.xml: object 1 has no name",
    "unknown-encoding": "3.xml: cannot be read as x-unknown",
}


@pytest.mark.parametrize("name", cases("voc"))
def test_voc(name: str) -> None:
    path, expected = shared(f"cases/voc/{name}"), VOC[name]
    if isinstance(expected, str):
        for read in (lambda: read_labels(path), lambda: list(Annotations.detect(path).pairs())):
            with pytest.raises(FedmptError, match=expected):
                read()
        return
    assert {label.name for label in read_labels(path).labels} == expected
    assert {label for _, label in Annotations.detect(path).pairs()} == expected


@pytest.mark.parametrize("name", cases("labels"))
def test_annotations(name: str) -> None:
    """For --cooccurrence the same files are read, or refused with their name."""
    path = shared(f"cases/labels/{name}")
    try:
        pairs = list(Annotations.detect(path).pairs())
    except FedmptError as error:
        assert str(error).startswith(str(path))
    else:
        assert pairs
        assert not any(sign in label for _, label in pairs for sign in "[](){}'\"")


@pytest.mark.parametrize("name", cases("exif"))
def test_exif(name: str) -> None:
    path = shared(f"cases/exif/{name}")
    check_header(path)
    check_pixels(path)
    assert np.asarray(read_image(path)).std() > 10


@pytest.mark.parametrize("name", cases("images"))
def test_images(name: str) -> None:
    path = shared(f"cases/images/{name}")
    if path.suffix == ".png":
        check_pixels(path)
        assert np.asarray(read_image(path)).std() > 10
        return
    for read in (check_pixels, read_image):
        with pytest.raises(UnreadableImage, match="range"):
            read(path)


def run(*words: str | Path) -> Result:
    """A command, in this process; anything but an expected error is raised."""
    result = CliRunner().invoke(build(str(words[0])), [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("name", [name for name in cases("import") if name != "bank.json"])
def test_import(tmp_path: Path, name: str) -> None:
    bank = shutil.copy(shared("cases/import/bank.json"), tmp_path / "bank.json")
    file = shared(f"cases/import/{name}")
    result = run("bank", "import", bank, file, "--by", "ada")
    if name in ("bad1.csv", "bad2.csv", "ls_twice.json", "ls_twice_i.json"):
        assert result.exit_code == 2
        assert all(line.startswith(f"error: {file}: ") for line in result.stderr.splitlines())
    else:
        assert result.exit_code == 0, result.stderr
        assert "accepted" in result.stdout


def folder(tmp_path: Path, family: str, name: str) -> Path:
    """Twenty noisy pictures and one of the tables."""
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02d}.{'bmp' if name == 'bmp.csv' else 'jpg'}")
    shutil.copy(shared(f"cases/{family}/{name}"), tmp_path / name)
    return tmp_path


REFUSED = {
    "dup_column.csv": "line 1: two columns are called 'cat'",
    "list_repr_t4b.csv": "line 2: '[0, 3]' is a list of numbers",
    "long_name.jsonl": "line 1: the path",
    "nul.jsonl": "line 1: the path '00\\x00.jpg' has a control character",
    "surrogate.jsonl": "line 21",
    "colon.csv": "missing",
    "dupcase.json": "'cat' is already at categories[0]",
}
"""Tables that are refused, and a part of what is said; the images of colon.csv are not there."""


@pytest.mark.parametrize(
    ("family", "name"),
    [(family, name) for family in ("tables", "coco") for name in cases(family) if name != "labels_case.txt"],
)
def test_tables(tmp_path: Path, family: str, name: str) -> None:
    (tmp_path / "data").mkdir()
    root, cache = folder(tmp_path / "data", family, name), tmp_path / "cache"
    checked = run("datasets", "check", "table", "--data-root", root, "--cache-dir", cache)
    words = ("--set", "federation.rounds=1", "--set", "evaluation.bootstrap=0", "--set", "data.partition.clients=2")
    unseen = ("--set", 'unseen_labels=["sofa"]') if name == "unseen_without.csv" else ()
    common = ("--dataset", "table", "--data-root", root, "--cache-dir", cache)
    trained = run("train", "--method", "coop", *common, *words, *unseen, "--out", tmp_path / "run")
    if name in REFUSED:
        assert checked.exit_code == trained.exit_code == 2
        assert REFUSED[name] in checked.output
        assert REFUSED[name] in trained.stderr
        return
    assert checked.exit_code == 0, checked.output
    assert not any(sign in checked.output.split("images can be read")[0] for sign in "[]{}()")
    if name == "noann.json":
        assert trained.exit_code == 2
        return
    assert trained.exit_code == 0, trained.stderr
    figures = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    said = trained.stderr.split("round ")[0]
    if name == "validation_without.csv":
        assert "no validation image has a label" in said
        assert "validation mAP –" in trained.stderr
    if name == "test_without.csv":
        assert "no test image has a label" in said
        assert figures["test"]["mAP"] is None
    if name == "unseen_without.csv":
        assert "no test image has an unseen label" in said
        assert figures["test_unseen"]["mAP"] is None
        assert figures["test_seen"]["mAP"] is not None
    if name == "rare.csv":
        assert figures["test"]["labels_without_positives"] == 0


def test_a_list_of_labels_with_one_twice(tmp_path: Path) -> None:
    root = folder(tmp_path, "tables", "for_labels_case.csv")
    listed = shared("cases/tables/labels_case.txt")
    result = run("datasets", "check", "table", "--data-root", root, "--set", f"data.table.labels={listed}")
    assert result.exit_code == 2
    assert "line 3: 'cat' is already at line 1" in result.stderr
