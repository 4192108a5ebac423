"""The data set `hf`: local folders of Hugging Face `datasets`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.data.base import MultiLabelDataset
from trainer.data.registry import load_dataset
from trainer.errors import TrainerError
from trainer.options import Options
from trainer.resolving import named_settings, resolve
from trainer.run_config import RunConfig

datasets = pytest.importorskip("datasets")

NAMES = ("cat", "dog", "sofa")
COUNT = 20


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def png(number: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8), (10 * number % 256, 80, 7 * number % 256)).save(content, "PNG")
    return content.getvalue()


def shown(number: int) -> list[int]:
    """The classes of an image."""
    return [number % 3] if number % 2 else [0, 2]


def parquet(folder: Path, columns: dict[str, Sequence[Any]], features: dict[str, Any], split: str = "train") -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(number), "path": None} for number in range(COUNT)]
    made = datasets.Dataset.from_dict(
        {"image": images, **columns}, features=datasets.Features({"image": datasets.Image(), **features})
    )
    made.to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))
    return folder


def load(folder: Path, cache: Path, **settings: Any) -> MultiLabelDataset:
    overrides = {"data.dataset": "hf", "data.data_root": str(folder)}
    overrides |= {f"data.hf.{name}": value for name, value in settings.items()}
    return load_dataset(resolve(overrides=overrides).data, cache)


def by_image(dataset: MultiLabelDataset) -> dict[int, dict[str, int]]:
    """The labels of each image that are not absent, by its number."""
    return {
        int(Path(path).stem): {dataset.label_names[c]: int(row[c]) for c in np.flatnonzero(row)}
        for split in dataset.splits()
        for path, row in zip(split.ids, split.labels, strict=True)
    }


EXPECTED = {number: {NAMES[c]: 1 for c in shown(number)} for number in range(COUNT)}
CLASSES = [shown(number) for number in range(COUNT)]


def test_sequences_of_classes(tmp_path: Path) -> None:
    features = {"labels": datasets.List(datasets.ClassLabel(names=list(NAMES))), "site": datasets.Value("string")}
    sites = ["north" if number < 9 else "south" for number in range(COUNT)]
    dataset = load(parquet(tmp_path / "set", {"labels": CLASSES, "site": sites}, features), tmp_path / "cache")
    assert dataset.label_names == NAMES
    assert by_image(dataset) == EXPECTED
    assert dataset.site_names == ("north", "south")
    first = Path(dataset.train.ids[0])
    assert dataset.train.image(0).getpixel((0, 0)) == (10 * int(first.stem) % 256, 80, 7 * int(first.stem) % 256)


def test_the_same_data_have_the_same_fingerprint(tmp_path: Path) -> None:
    features = {"labels": datasets.List(datasets.ClassLabel(names=list(NAMES)))}
    one = load(parquet(tmp_path / "one", {"labels": CLASSES}, features), tmp_path / "cache")
    two = load(parquet(tmp_path / "two", {"labels": CLASSES}, features), tmp_path / "other")
    assert one.fingerprint == two.fingerprint
    other = [[1], *CLASSES[1:]]
    changed = load(parquet(tmp_path / "one", {"labels": other}, features), tmp_path / "cache")
    assert changed.fingerprint != one.fingerprint


@pytest.mark.parametrize(
    ("columns", "features"),
    [
        ({"labels": [[NAMES[c] for c in one] for one in CLASSES]}, {"labels": datasets.List(datasets.Value("string"))}),
        (
            {name: [c in one for one in CLASSES] for c, name in enumerate(NAMES)},
            {name: datasets.Value("bool") for name in NAMES},
        ),
        (
            {name: [float(c in one) for one in CLASSES] for c, name in enumerate(NAMES)},
            {name: datasets.Value("float32") for name in NAMES},
        ),
    ],
    ids=["texts", "columns of truth values", "columns of numbers"],
)
def test_other_forms_of_labels(tmp_path: Path, columns: dict[str, Any], features: dict[str, Any]) -> None:
    dataset = load(parquet(tmp_path / "set", columns, features), tmp_path / "cache")
    assert dataset.label_names == NAMES
    assert by_image(dataset) == EXPECTED


def test_lists_of_zeros_and_ones_need_names(tmp_path: Path) -> None:
    rows = [[int(c in one) for c in range(3)] for one in CLASSES]
    rows[4][1] = -1
    folder = parquet(tmp_path / "set", {"tags": rows}, {"tags": datasets.List(datasets.Value("int8"))})
    with pytest.raises(TrainerError, match=r"data\.hf\.names"):
        load(folder, tmp_path / "cache", labels="tags")
    (tmp_path / "names.txt").write_text("cat\ndog\nsofa\n")
    dataset = load(folder, tmp_path / "cache", labels="tags", names=str(tmp_path / "names.txt"))
    assert by_image(dataset) == {**EXPECTED, 4: {"cat": 1, "dog": -1, "sofa": 1}}
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    with pytest.raises(TrainerError, match="3 numbers in a row, but 2 labels"):
        load(folder, tmp_path / "cache", labels="tags", names=str(tmp_path / "names.txt"))


def test_published_splits_and_hidden_labels(tmp_path: Path) -> None:
    features = {"labels": datasets.List(datasets.ClassLabel(names=list(NAMES)))}
    for split in ("train", "validation", "test"):
        parquet(tmp_path / "set", {"labels": [[-1], *CLASSES[1:]]}, features, split)
    dataset = load(tmp_path / "set", tmp_path / "cache")
    assert [len(split) for split in dataset.splits()] == [COUNT] * 3
    assert (dataset.test.labels[0] == -1).all()


def test_an_image_folder_with_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "train"
    folder.mkdir(parents=True)
    lines = []
    for number in range(COUNT):
        (folder / f"{number}.png").write_bytes(png(number))
        lines.append(json.dumps({"file_name": f"{number}.png", "labels": [NAMES[c] for c in shown(number)]}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    dataset = load(tmp_path / "set", tmp_path / "cache")
    assert sorted(map(sorted, by_image(dataset).values())) == sorted(map(sorted, EXPECTED.values()))


def test_an_image_folder_of_classes(tmp_path: Path) -> None:
    for number in range(COUNT):
        place = tmp_path / "set" / NAMES[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.png").write_bytes(png(number))
    dataset = load(tmp_path / "set", tmp_path / "cache")
    assert dataset.label_names == NAMES
    assert {len(found) for found in by_image(dataset).values()} == {1}


def test_a_path_to_other_files_is_refused(tmp_path: Path) -> None:
    """A table may name any file of this machine as an image."""
    (tmp_path / "secret.png").write_bytes(png(1))
    features = {"image": datasets.Image(), "labels": datasets.List(datasets.ClassLabel(names=list(NAMES)))}
    images = [{"bytes": None, "path": str(tmp_path / "secret.png")}] * 4
    made = datasets.Dataset.from_dict({"image": images, "labels": CLASSES[:4]}, features=datasets.Features(features))
    (tmp_path / "set").mkdir()
    table = made.cast_column("image", datasets.Image(decode=False)).data.table
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "set" / "train.parquet")
    with pytest.raises(TrainerError, match="neither bytes nor a file"):
        load(tmp_path / "set", tmp_path / "cache")
    assert not list((tmp_path / "cache" / "hf").glob("set-*"))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "cat"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(png(number) if number else b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "set" / "dog").mkdir()
    (tmp_path / "set" / "dog" / "9.png").write_bytes(png(9))
    with pytest.raises(TrainerError, match="1 of 5 images"):
        load(tmp_path / "set", tmp_path / "cache")


def test_kinds_of_files_that_could_run_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with tarfile.open(tmp_path / "set" / "train.tar", "w") as tar:
        for name, content in (("1.png", png(1)), ("1.json", b'{"label": 1}')):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    with pytest.raises(TrainerError, match="webdataset"):
        load(tmp_path / "set", tmp_path / "cache")
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(TrainerError, match="cannot be loaded"):
        load(tmp_path / "script", tmp_path / "cache")
    assert not (tmp_path / "ran").exists()


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "set", {"caption": ["a cat"] * COUNT}, {"caption": datasets.Value("string")})
    with pytest.raises(TrainerError, match="no column of labels among image, caption"):
        load(folder, tmp_path / "cache")
    for wrong in ({"image": "caption"}, {"labels": "nothing"}, {"site": "nothing", "labels": "caption"}):
        with pytest.raises(TrainerError, match="column"):
            load(folder, tmp_path / "cache", **wrong)


def test_names_on_the_hub_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_settings({"data_root": Path("owner/name")})["data.data_root"] == "owner/name"
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert named_settings({"data_root": Path("owner/name")})["data.data_root"] == str(tmp_path / "owner" / "name")
    with pytest.raises(TrainerError, match="neither a folder nor OWNER/NAME"):
        load(Path("nowhere"), tmp_path / "cache")
    with pytest.raises(TrainerError, match="no-such/data: cannot be loaded"):
        load(Path("no-such/data"), tmp_path / "cache")


def test_a_strangers_run_fetches_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.backbone.load import RecordedWeights

    config: RunConfig = resolve(overrides={"data.dataset": "hf", "data.data_root": "owner/name"})
    with pytest.raises(TrainerError, match="--data-root"):
        Options().prepare(config, None, RecordedWeights(None, None))
