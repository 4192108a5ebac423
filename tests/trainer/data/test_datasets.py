"""The published data sets, from small copies in exactly their layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedmpt.common.errors import FedmptError
from prompt_bank.shipped import shipped_labels
from tests.trainer import layouts
from trainer.config.data import DataConfig
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.registry import DATASETS, dataset_module, load_dataset
from trainer.resolving import resolve

BUILDERS = {
    "voc2007": layouts.voc2007,
    "coco2014": layouts.coco2014,
    "nuswide": layouts.nuswide,
    "multiscene": layouts.multiscene,
    "mlrsnet": layouts.mlrsnet,
}
FILES = {"voc2007": "voc20", "coco2014": "coco80", "nuswide": "nus81", "multiscene": "multiscene36"}


def settings(name: str, root: Path, **more: object) -> DataConfig:
    # Splits of three or four images: a half is set aside, and there are no more clients than label vectors.
    small = {"validation_share": 0.5, "partition.kind": "iid", "partition.clients": 1}
    overrides = {"dataset": name, "data_root": str(root), **small, **more}
    return resolve(overrides={f"data.{key}": value for key, value in overrides.items()}).data


def load(name: str, root: Path, **more: object) -> MultiLabelDataset:
    return load_dataset(settings(name, root, **more))


def labels(dataset: MultiLabelDataset, *splits: Split) -> dict[str, dict[str, int]]:
    """By file name: the labels that are not absent."""
    return {
        Path(id_).name: {n: int(v) for n, v in zip(dataset.label_names, row, strict=True) if v}
        for split in splits
        for id_, row in zip(split.ids, split.labels, strict=True)
    }


def refused(name: str, root: Path, **more: object) -> str:
    with pytest.raises(FedmptError) as caught:
        load(name, root, **more)
    return str(caught.value)


@pytest.mark.parametrize("name", BUILDERS)
def test_names_images_and_splits(tmp_path: Path, name: str) -> None:
    """The shipped names in order; every image opens; no image is in two splits; the same again for the same seed."""
    dataset = load(name, BUILDERS[name](tmp_path))
    assert dataset.label_names == tuple(x.name for x in shipped_labels(FILES.get(name, "mlrsnet60")))
    ids = [id_ for split in dataset.splits() for id_ in split.ids]
    assert len(set(ids)) == len(ids)
    for split in dataset.splits():
        assert len(split)
        assert all(split.image(i).mode == "RGB" for i in range(len(split)))
    assert (dataset.train.sites == 0).all()
    assert (dataset.validation.sites == -1).all()
    again = load(name, tmp_path)
    assert again.fingerprint == dataset.fingerprint
    assert again.validation.ids == dataset.validation.ids
    assert any(load(name, tmp_path, seed=s).validation.ids != dataset.validation.ids for s in range(1, 8))


@pytest.mark.parametrize("name", BUILDERS)
def test_what_is_missing_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    said = refused(name, tmp_path)
    first = dataset_module(name).REQUIRED[0]
    assert f"{first.what} is missing; it belongs at {tmp_path / first.paths[0]}" in said
    assert "fedmpt datasets check" in said


def test_the_folder_must_be_named_and_there(tmp_path: Path) -> None:
    with pytest.raises(FedmptError, match="--data-root"):
        load_dataset(resolve(overrides={"data.dataset": "voc2007"}).data)
    assert "no such folder" in refused("voc2007", tmp_path / "nowhere")
    with pytest.raises(FedmptError, match="there are: voc2007"):
        load_dataset(resolve(overrides={"data.dataset": "voc2O07"}).data)
    assert list(BUILDERS) == [name for name in DATASETS if name != "table"]


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("coco2014", {"difficult": "positive"}, "data.difficult has no meaning for coco2014"),
        ("voc2007", {"crowd": "positive"}, "data.crowd has no meaning for voc2007"),
        ("voc2007", {"table.test_share": 0.5}, "data.table is for --dataset table"),
        ("multiscene", {"validation": "published"}, "multiscene has no validation split of its own"),
        ("scenes", {}, "scenes is drawn, so it needs no --data-root"),
        ("scenes", {"min_labels": 2}, "data.min_labels has no meaning for scenes"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(
    tmp_path: Path, name: str, more: dict[str, object], said: str
) -> None:
    if name in BUILDERS:
        BUILDERS[name](tmp_path)
    assert said in refused(name, tmp_path, **more)


class TestVoc:
    @pytest.mark.parametrize(
        ("trainval", "test"),
        [
            ("VOCdevkit/VOC2007", "VOCdevkit/VOC2007"),
            ("VOC2007/VOCtrainval2007/VOCdevkit/VOC2007", "VOC2007/VOCtest2007/VOCdevkit/VOC2007"),
        ],
    )
    def test_clean(self, tmp_path: Path, trainval: str, test: str) -> None:
        """Both halves of trainval; difficult is unknown; images with difficult objects alone stay."""
        dataset = load("voc2007", layouts.voc2007(tmp_path, trainval, test))
        assert labels(dataset, dataset.train, dataset.validation) == {
            "000005.jpg": {"chair": 1},
            "000007.jpg": {"car": 1},
            "000009.jpg": {"horse": 1, "person": -1},
            "000012.jpg": {"dog": -1},
            "000016.jpg": {"bicycle": 1},
            "000017.jpg": {"horse": 1, "person": 1},
            "000019.jpg": {"cat": 1, "tv monitor": 1},
        }
        assert labels(dataset, dataset.test)["000003.jpg"] == {"dining table": -1}

    def test_published_validation(self, tmp_path: Path) -> None:
        dataset = load("voc2007", layouts.voc2007(tmp_path), validation="published")
        assert [Path(i).stem for i in dataset.train.ids] == list(layouts.VOC["train"])
        assert [Path(i).stem for i in dataset.validation.ids] == list(layouts.VOC["val"])

    def test_released(self, tmp_path: Path) -> None:
        """The train half alone, difficult is absent, images without a label are dropped, of the test too."""
        dataset = load("voc2007", layouts.voc2007(tmp_path), variant="released")
        assert labels(dataset, dataset.train, dataset.validation) == {
            "000005.jpg": {"chair": 1},
            "000007.jpg": {"car": 1},
            "000009.jpg": {"horse": 1},
        }
        assert labels(dataset, dataset.test) == {"000001.jpg": {"dog": 1, "person": 1}, "000002.jpg": {"train": 1}}

    def test_difficult_by_choice(self, tmp_path: Path) -> None:
        layouts.voc2007(tmp_path)
        found = load("voc2007", tmp_path, difficult="positive")
        assert labels(found, found.train, found.validation)["000012.jpg"] == {"dog": 1}
        assert labels(found, found.test)["000003.jpg"] == {"dining table": 1}

    def test_lists_that_are_wrong(self, tmp_path: Path) -> None:
        sets = layouts.voc2007(tmp_path) / "VOCdevkit/VOC2007/ImageSets/Main"
        (sets / "dog_test.txt").write_text("000001  1\n000002 -1\n")
        assert "dog_test.txt: 1 images of test.txt are not in it, 000003 first" in refused("voc2007", tmp_path)
        (sets / "dog_test.txt").write_text("000001  1\n000002 yes\n")
        assert "dog_test.txt, line 2: '000002 yes'" in refused("voc2007", tmp_path)
        (sets / "dog_test.txt").unlink()
        assert "dog_test.txt: there is no such file" in refused("voc2007", tmp_path)


class TestCoco:
    @pytest.mark.parametrize("below", ["coco/", ""])
    def test_clean(self, tmp_path: Path, below: str) -> None:
        """All images, also without annotations; instances count once; a crowd of persons shows persons."""
        dataset = load("coco2014", layouts.coco2014(tmp_path, below))
        found = labels(dataset, dataset.train, dataset.validation)
        assert len(found) == 6
        assert found["COCO_train2014_000000000049.jpg"] == {}
        assert found["COCO_train2014_000000000030.jpg"] == {"person": 1, "potted plant": 1}
        assert found["COCO_train2014_000000000009.jpg"] == dict.fromkeys(
            ("person", "bowl", "orange", "broccoli", "pizza"), 1
        )
        assert labels(dataset, dataset.test)["COCO_val2014_000000000042.jpg"] == {"dog": 1}

    def test_released(self, tmp_path: Path) -> None:
        dataset = load("coco2014", layouts.coco2014(tmp_path), variant="released")
        assert sorted(labels(dataset, dataset.train, dataset.validation)) == [
            "COCO_train2014_000000000009.jpg",
            "COCO_train2014_000000000036.jpg",
        ]
        assert list(labels(dataset, dataset.test)) == ["COCO_val2014_000000000073.jpg"]

    @pytest.mark.parametrize(("crowd", "value"), [("positive", 1), ("unknown", -1), ("negative", 0)])
    def test_crowds_by_choice(self, tmp_path: Path, crowd: str, value: int) -> None:
        dataset = load("coco2014", layouts.coco2014(tmp_path), crowd=crowd)
        found = labels(dataset, dataset.train, dataset.validation)["COCO_train2014_000000000030.jpg"]
        assert found.get("person", 0) == value

    def test_files_that_are_wrong(self, tmp_path: Path) -> None:
        file = layouts.coco2014(tmp_path) / "coco/annotations/instances_train2014.json"
        whole = file.read_text()
        for content, said in (
            (whole[:900], "not JSON, or cut off"),
            (whole.replace('"category_id": 51', '"category_id": 12', 1), "annotations[0]: its image or its category"),
            (whole.replace('"zebra"', '"Zebra"'), "not the 80 categories of COCO (Zebra)"),
            ("{}", "no COCO instances"),
        ):
            file.write_text(content)
            assert said in refused("coco2014", tmp_path)


class TestNusWide:
    def test_clean(self, tmp_path: Path) -> None:
        dataset = load("nuswide", layouts.nuswide(tmp_path))
        found = labels(dataset, dataset.train, dataset.validation)
        assert found["0003_22.jpg"] == {"airport": 1, "plane": 1, "sky": 1}
        assert found["0004_9.jpg"] == {}
        assert "NUSWIDE/raw/Flickr/actor/0001_2124494179.jpg" in {*dataset.train.ids, *dataset.validation.ids}

    def test_released(self, tmp_path: Path) -> None:
        dataset = load("nuswide", layouts.nuswide(tmp_path, "raw/"), variant="released")
        assert sorted(labels(dataset, dataset.train, dataset.validation)) == ["0002_1.jpg", "0007_7.jpg"]
        assert list(labels(dataset, dataset.test)) == ["0006_4.jpg"]

    def test_labels_where_the_archive_puts_them(self, tmp_path: Path) -> None:
        raw = layouts.nuswide(tmp_path) / "NUSWIDE/raw"
        (raw / "Groundtruth").mkdir()
        (raw / "TrainTestLabels").rename(raw / "Groundtruth/TrainTestLabels")
        dataset = load("nuswide", tmp_path)
        assert labels(dataset, dataset.test)["0005_3.jpg"] == {"sky": 1, "zebra": 1}

    def test_lists_that_are_wrong(self, tmp_path: Path) -> None:
        raw = layouts.nuswide(tmp_path) / "NUSWIDE/raw"
        (raw / "TrainTestLabels/Labels_sky_Test.txt").write_text("1\n")
        assert "Labels_sky_Test.txt: 1 lines for the 2 images" in refused("nuswide", tmp_path)
        (raw / "TrainTestLabels/Labels_sky_Test.txt").write_text("1\n2\n")
        assert "line 2: '2' is not 0 or 1" in refused("nuswide", tmp_path)
        (raw / "ImageList/TestImagelist.txt").write_text("..\\..\\x.jpg\n")
        assert "TestImagelist.txt, line 1" in refused("nuswide", tmp_path)


class TestTables:
    @pytest.mark.parametrize("variant", ["clean", "released"])
    def test_multiscene(self, tmp_path: Path, variant: str) -> None:
        dataset = load("multiscene", layouts.multiscene(tmp_path), variant=variant)
        assert labels(dataset, dataset.train, dataset.validation)["2_img.jpg"] == {
            "airport apron": 1,
            "baseball field": 1,
            "basketball field": 1,
        }
        assert labels(dataset, dataset.test) == {"4_img.jpg": {"cemetery": 1, "commercial area": 1}, "5_img.jpg": {}}

    def test_mlrsnet(self, tmp_path: Path) -> None:
        """Test scenes are of other categories than training scenes."""
        dataset = load("mlrsnet", layouts.mlrsnet(tmp_path))
        assert len(dataset.train) + len(dataset.validation) == len(dataset.test) == 46
        assert all("/Images/meadow/" in i for i in dataset.test.ids[:2])
        assert labels(dataset, dataset.test)["meadow_00001.jpg"] == {dataset.label_names[23]: 1}
        released = load("mlrsnet", tmp_path, variant="released")
        assert len(released.test) == 23
        assert not set(released.test.ids) & {*released.train.ids, *released.validation.ids}

    def test_columns_in_another_order(self, tmp_path: Path) -> None:
        layouts.multiscene(tmp_path)
        table = tmp_path / "MultiScene-Clean/Test.csv"
        rows = [line.split(",") for line in table.read_text().splitlines()]
        table.write_text("\n".join(",".join([row[0], *reversed(row[1:])]) for row in rows))
        dataset = load("multiscene", tmp_path)
        assert labels(dataset, dataset.test)["4_img.jpg"] == {"cemetery": 1, "commercial area": 1}

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda text: text.replace("0", "7", 1), "line 2: '7' under"),
            (lambda text: text + "x,1\n", "line 4: 2 cells under a header of 37"),
            (lambda text: text.replace(",BaseballField", "", 1), "36 columns; expected the image and 36 labels"),
            (lambda text: "image," + ",".join(f"x{i}" for i in range(36)) + "\n", "its columns are other labels"),
            (lambda text: text.replace("4_img", "../4_img"), "leads out of the folder"),
            (lambda text: text + text.splitlines()[1] + "\n", "is listed in test and again in test"),
        ],
    )
    def test_tables_that_are_wrong(self, tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
        table = layouts.multiscene(tmp_path) / "MultiScene-Clean/Test.csv"
        table.write_text(change(table.read_text()))
        assert said in refused("multiscene", tmp_path)


class TestUnreadable:
    def test_an_error_that_lists_them_or_left_out_by_choice(self, tmp_path: Path) -> None:
        layouts.nuswide(tmp_path)
        flickr = tmp_path / "NUSWIDE/raw/Flickr"
        (flickr / "zebra/0005_3.jpg").unlink()
        (flickr / "actor/0001_2124494179.jpg").write_bytes(b"<html>Photo removed</html>")
        said = refused("nuswide", tmp_path)
        assert "2 of 7 images" in said
        assert "zebra/0005_3.jpg: missing" in said
        assert "actor/0001_2124494179.jpg: not an image" in said
        assert "--skip-unreadable" in said
        dataset = load("nuswide", tmp_path, skip_unreadable=True)
        assert sum(map(len, dataset.splits())) == 5
        assert "left out: 2 of 7 images" in dataset.notes[0]

    def test_nothing_left(self, tmp_path: Path) -> None:
        layouts.nuswide(tmp_path)
        for file in (tmp_path / "NUSWIDE/raw/Flickr").rglob("*.jpg"):
            file.unlink()
        assert "no image is left" in refused("nuswide", tmp_path, skip_unreadable=True)


def test_the_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    first = load("voc2007", layouts.voc2007(tmp_path / "a"))
    second = load("voc2007", layouts.voc2007(tmp_path / "b"))
    assert first.fingerprint == second.fingerprint
    assert load("voc2007", tmp_path / "b", difficult="negative").fingerprint != first.fingerprint
    (tmp_path / "b/VOCdevkit/VOC2007/JPEGImages/000001.jpg").unlink()
    from PIL import Image

    Image.new("RGB", (30, 30)).save(tmp_path / "b/VOCdevkit/VOC2007/JPEGImages/000001.jpg")
    assert load("voc2007", tmp_path / "b").fingerprint != first.fingerprint
    assert np.array_equal(load("voc2007", tmp_path / "b").train.labels, first.train.labels)
