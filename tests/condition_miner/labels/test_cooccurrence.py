"""Co-occurrence counts from every annotation format; matching of names; large files."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condition_miner.combinations.choosing import choose_combinations
from condition_miner.settings import MinerSettings
from fedmpt.common.annotations import Annotations
from fedmpt.common.errors import InputFileError
from prompt_bank.dependencies.observed import provenance, read_cooccurrence
from prompt_bank.recording.store import load
from prompt_bank.schema import Label
from tests.condition_miner.files import CATEGORIES, IMAGES, coco, voc, write_json
from tests.condition_miner.server import serving
from tests.shared import shared

LABELS = tuple(Label(name=name) for name in ("person", "cat", "dog", "couch"))
ALL = {"person": 2, "cat": 2, "dog": 2, "couch": 2}
PAIRS = {("cat", "couch"): 2, ("person", "cat"): 1, ("person", "couch"): 1, ("person", "dog"): 1}


def counts(path: Path, labels: tuple[Label, ...] = LABELS) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    read = read_cooccurrence(path, labels)
    names = [label.name for label in labels]
    pairs = {(names[a], names[b]): n for (a, b), n in read.pair_counts.items()}
    return dict(zip(names, read.label_counts, strict=True)), pairs


def lists(path: Path) -> Path:
    classes = list(CATEGORIES.values())
    images = [[file, sorted(classes.index(name) for name in names)] for file, names in IMAGES.items()]
    return write_json(path, {"classes": classes, "images": images})


def named_lists(path: Path) -> Path:
    """As RAM publishes them: names, repeated for each instance."""
    images = [[file, sorted(names) * 2] for file, names in IMAGES.items()]
    return write_json(path, {"classes": list(CATEGORIES.values()), "images": images})


def cells(path: Path) -> Path:
    path.write_text("image,labels\n" + "".join(f"{f},{';'.join(sorted(names))}\n" for f, names in IMAGES.items()))
    return path


def long(path: Path) -> Path:
    path.write_text("image_id;label\n" + "".join(f"{f};{n}\n" for f, names in IMAGES.items() for n in sorted(names)))
    return path


def matrix(path: Path) -> Path:
    header = list(CATEGORIES.values())
    rows = [",".join([f, *(str(int(name in names)) for name in header)]) for f, names in IMAGES.items()]
    path.write_text("\n".join([",".join(["image", *header]), *rows, ""]))
    return path


def nus(path: Path) -> Path:
    path.mkdir()
    for name in CATEGORIES.values():
        (path / f"Labels_{name}_Train.txt").write_text("".join(f"{int(name in n)}\n" for n in IMAGES.values()))
        (path / f"Labels_{name}_Test.txt").write_text("1\n")
    return path


def tables(path: Path) -> Path:
    """As MLRSNet has them: a table for each category of images, all with the same columns."""
    path.mkdir()
    header = list(CATEGORIES.values())
    for file, names in IMAGES.items():
        row = ",".join([file, *(str(int(name in names)) for name in header)])
        (path / f"{file[0]}.csv").write_text(",".join(["image", *header]) + "\n" + row + "\n")
    return path


@pytest.mark.parametrize(
    ("write", "name", "form"),
    [
        (coco, "x.json", "COCO JSON"),
        (coco, "x.json.gz", "COCO JSON"),
        (lists, "x.json", "JSON of classes and images"),
        (named_lists, "x.json.gz", "JSON of classes and images"),
        (cells, "x.csv", "CSV"),
        (long, "x.csv", "CSV"),
        (matrix, "x.csv", "CSV"),
        (nus, "TrainTestLabels", "NUS-WIDE"),
        (tables, "Labels", "CSV"),
    ],
)
def test_all_formats_give_the_same_counts(tmp_path: Path, write, name: str, form: str) -> None:  # type: ignore[no-untyped-def]
    path = write(tmp_path / name)
    assert Annotations.detect(path).format == form
    assert counts(path) == (ALL, PAIRS)
    assert read_cooccurrence(path, LABELS).images == 4


@pytest.mark.parametrize("main", [True, False])
def test_voc_without_difficult_objects_and_test_sets(tmp_path: Path, main: bool) -> None:
    assert counts(voc(tmp_path, main=main)) == (ALL | {"dog": 1}, PAIRS)


def test_names_match_by_alias_case_and_plural(tmp_path: Path) -> None:
    labels = (
        Label(name="human", aliases=("Person",)),
        Label(name="cats"),
        Label(name="DOG"),
        Label(name="sofa", aliases=("couches", "couch")),
        Label(name="unicorn"),
    )
    path = coco(tmp_path / "x.json", IMAGES | {"f.jpg": {"tie"}}, CATEGORIES | {9: "tie"})
    label_counts, pair_counts = counts(path, labels)
    assert label_counts == {"human": 2, "cats": 2, "DOG": 2, "sofa": 2, "unicorn": 0}
    assert pair_counts[("cats", "sofa")] == 2
    assert read_cooccurrence(path, labels).warnings == (
        f"{path}: no label is called 'tie'",
        f"{path}: no image shows 'unicorn'",
    )


def test_names_near_two_labels_match_neither(tmp_path: Path) -> None:
    labels = (Label(name="tea cup"), Label(name="teacups"), Label(name="dog"))
    (tmp_path / "x.csv").write_text("image,labels\na,tea-cup;dog;tea cup\n")
    read = read_cooccurrence(tmp_path / "x.csv", labels)
    assert read.label_counts == (1, 0, 1)
    assert "'tea-cup'" in read.warnings[0]


def test_provenance_names_the_file_and_its_content(tmp_path: Path) -> None:
    path = coco(tmp_path / "x.json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_cooccurrence(path, LABELS)
    assert provenance(read) == {"cooccurrence": {"file": "x.json", "sha256": f"sha256:{digest}"}}
    assert provenance(None) == {}
    folder = nus(tmp_path / "nus")
    before = read_cooccurrence(folder, LABELS).sha256
    (folder / "Labels_dog_Train.txt").write_text("1\n1\n1\n1\n0\n")
    assert read_cooccurrence(folder, LABELS).sha256 != before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.integers(0, 30), max_size=8), min_size=1, max_size=30))
def test_counts_equal_plain_counting(tmp_path: Path, images: list[set[int]]) -> None:
    path = write_json(
        tmp_path / "x.json",
        {"classes": [f"l{i}" for i in range(31)], "images": [[f"{i}.jpg", sorted(s)] for i, s in enumerate(images)]},
    )
    expected = Counter(pair for image in images for pair in combinations(sorted(image), 2))
    labels = tuple(Label(name=f"l{i}") for i in range(31))
    if not expected:
        with pytest.raises(InputFileError, match="no image shows two"):
            read_cooccurrence(path, labels)
        return
    read = read_cooccurrence(path, labels)
    assert read.pair_counts == expected
    assert read.images == sum(bool(image) for image in images)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("x.json", '{"classes": ["cat", "dog"], "images": [["a", [0, 2]]]}', "images[0]: 2 is neither a name nor"),
        ("x.json", '{"classes": ["cat", "dog"], "images": [["a", 0]]}', "images[0]: expected [file, [labels]]"),
        ("x.json", '{"classes": ["cat", 1], "images": []}', "neither COCO's categories nor a list of classes"),
        ("x.json", '["cat"]', "a JSON list"),
        ("x.json", '{"categories": [{"id": 1}]}', "categories[0]: expected an object with id and name"),
        ("x.json", '{"categories": [{"id": 1, "name": "cat"}], "annotations": [{}]}', "annotations[0]: expected"),
        (
            "x.json",
            '{"categories": [{"id": 1, "name": "cat"}], "annotations": [{"image_id": 1, "category_id": 2}]}',
            "annotations[0]: there is no category 2",
        ),
        ("x.json", '{"categories": [{"id": 1, "name": "cat"}], "annotations": [{"image_id": 1,', "cut off"),
        (
            "x.json",
            '{"classes": ["a", "b"], "images": [["x", ["a", "b"]]]}',
            "two of the labels; its names are 'a', 'b'",
        ),
        ("x.csv", "image,labels\na.jpg\n", "line 2: 1 cells under a header of 2"),
        ("x.csv", "image,cat,dog\na.jpg,1,7\n", "line 2: '7' under 'dog' is not 0 or 1"),
        ("x.csv", "cat\n", "expected a header"),
        ("x.txt", "cat\n", "expected .json"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, name: str, content: str, error: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputFileError) as caught:
        read_cooccurrence(tmp_path / name, LABELS)
    assert error in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_files_and_broken_folders(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file"):
        read_cooccurrence(tmp_path / "x.json", LABELS)
    with pytest.raises(InputFileError, match="no VOC devkit folder"):
        read_cooccurrence(tmp_path, LABELS)
    (nus(tmp_path / "nus") / "Labels_dog_Train.txt").write_text("0\nx\n")
    with pytest.raises(InputFileError, match="line 2: 'x' is not 0 or 1"):
        read_cooccurrence(tmp_path / "nus", LABELS)
    sets = voc(tmp_path / "voc") / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    (sets / "dog_trainval.txt").write_text("a  1\nb maybe\n")
    with pytest.raises(InputFileError, match="line 2: 'b maybe'"):
        read_cooccurrence(tmp_path / "voc", LABELS)


def test_large_files_are_streamed(tmp_path: Path) -> None:
    """10,000 annotations with polygons of 60 numbers, 6 MB: peak memory is far below the file size."""
    path = tmp_path / "instances.json"
    rng = random.Random(0)
    outline = [[round(rng.random() * 640, 2) for _ in range(60)]]
    with path.open("w") as file:
        file.write('{"images": [], "annotations": [')
        for i in range(10_000):
            annotation = {"segmentation": outline, "image_id": i // 7, "category_id": rng.randint(1, 80), "id": i}
            file.write(("," if i else "") + json.dumps(annotation))
        categories = [{"id": i, "name": f"c{i}"} for i in range(1, 81)]
        file.write(f'], "categories": {json.dumps(categories)}}}')
    tracemalloc.start()
    try:
        read = read_cooccurrence(path, tuple(Label(name=f"c{i}") for i in range(1, 81)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(read.label_counts) > 9_000
    assert peak < path.stat().st_size / 5


def test_published_lists() -> None:
    path = shared("annotations/mlrsnet_test.json.gz")
    labels = tuple(Label(name=name) for name in ("buildings", "trees", "Airports", "airplane"))
    label_counts, pair_counts = counts(path, labels)
    assert pair_counts[("buildings", "trees")] == 7780
    assert pair_counts[("Airports", "airplane")] > 0
    assert label_counts["trees"] >= 7780


def test_mining_follows_the_file_and_names_it_in_the_bank(tmp_path: Path) -> None:
    """Labels of a CSV column; combinations are chosen from COCO annotations, which the bank records."""
    path = coco(tmp_path / "instances.json", IMAGES | {"f.jpg": {"tie"}}, CATEGORIES | {9: "tie"})
    (tmp_path / "labels.csv").write_text("what\nperson\ncat\ndog\ncouch\n")
    with serving() as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "fedmpt", "mine-conditions", "--labels", "labels.csv", "--column", "what"),
                *("--cooccurrence", path.name, "--base-url", server.url, "--combinations", "6"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "warning: instances.json: no label is called 'tie'" in done.stderr
    bank = load(tmp_path / "bank.json").bank
    assert [label.name for label in bank.labels] == ["person", "cat", "dog", "couch"]
    assert bank.provenance.parameters["cooccurrence"] == {
        "file": "instances.json",
        "sha256": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
    }
    described = {caption.labels for caption in bank.captions}
    names = tuple(label.name for label in LABELS)
    assert described == set(choose_combinations(names, 6, MinerSettings().largest, 0, read_cooccurrence(path, LABELS)))
