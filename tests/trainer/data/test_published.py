"""Each published data set: labels, splits and variants from a small copy in its layout, and invalid files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer import layouts
from tests.trainer.data.published import labels, load, refused


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
            (lambda text: text.replace("4_img", "../4_img"), "must lie below the data's folder"),
            (lambda text: text + text.splitlines()[1] + "\n", "is listed in test and again in test"),
        ],
    )
    def test_tables_that_are_wrong(self, tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
        table = layouts.multiscene(tmp_path) / "MultiScene-Clean/Test.csv"
        table.write_text(change(table.read_text()))
        assert said in refused("multiscene", tmp_path)
