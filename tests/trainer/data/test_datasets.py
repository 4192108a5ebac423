"""All published data sets, from small copies in their layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedmpt.common.errors import FedmptError
from prompt_bank.shipped import shipped_labels
from tests.trainer import layouts
from tests.trainer.data.published import BUILDERS, load, refused
from trainer.data.registry import DATASETS, dataset_module, load_dataset
from trainer.resolving import resolve

FILES = {"voc2007": "voc20", "coco2014": "coco80", "nuswide": "nus81", "multiscene": "multiscene36"}


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
def test_a_missing_file_is_named_with_its_expected_location(tmp_path: Path, name: str) -> None:
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
    assert list(BUILDERS) == [name for name in DATASETS if name not in ("table", "hf")]


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
