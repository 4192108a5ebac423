"""PASCAL VOC 2007 (Everingham et al., IJCV 2010), from its class lists.

clean     training on trainval (part of it held out for validation), testing on test; a class whose objects in an image
          are all marked difficult is unknown, as VOC's own evaluation ignores them.
released  training on the train half only; difficult counts as absent, and images without labels are removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common import tables
from prompt_bank.shipped import shipped_labels
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing
from trainer.data.base import UNKNOWN
from trainer.data.downloading import Archive
from trainer.errors import TrainerError

PAGE = "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/"
FROM = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2007"
ARCHIVES = (
    Archive(
        f"{FROM}/VOCtrainval_06-Nov-2007.tar",
        460_032_000,
        "sha256:7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
    ),
    Archive(
        f"{FROM}/VOCtest_06-Nov-2007.tar",
        451_020_800,
        "sha256:6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
    ),
)
TRAIN = ("VOC2007/VOCtrainval2007/VOCdevkit/VOC2007", "VOCtrainval2007/VOCdevkit/VOC2007", "VOCdevkit/VOC2007")
TEST = ("VOC2007/VOCtest2007/VOCdevkit/VOC2007", "VOCtest2007/VOCdevkit/VOC2007", "VOCdevkit/VOC2007")
REQUIRED = (
    RequiredPath(tuple(f"{p}/ImageSets/Main/trainval.txt" for p in TRAIN), "the list of training images (VOCtrainval)"),
    RequiredPath(
        tuple(f"{p}/ImageSets/Main/aeroplane_trainval.txt" for p in TRAIN), "the training labels (VOCtrainval)"
    ),
    RequiredPath(tuple(f"{p}/JPEGImages" for p in TRAIN), "the training images (VOCtrainval)"),
    RequiredPath(tuple(f"{p}/ImageSets/Main/test.txt" for p in TEST), "the list of test images (VOCtest)"),
    RequiredPath(tuple(f"{p}/ImageSets/Main/aeroplane_test.txt" for p in TEST), "the test labels (VOCtest)"),
    RequiredPath(tuple(f"{p}/JPEGImages" for p in TEST), "the test images (VOCtest)"),
)

DEFAULTS: dict[str, dict[str, Any]] = {
    "clean": {"difficult": "unknown", "min_labels": 0},
    "released": {"difficult": "negative", "min_labels": 1},
}


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """Read the class lists.

    Raises:
        TrainerError: a list is missing or invalid.
    """
    names = tuple(label.name for label in shipped_labels("voc20"))
    difficult = {"unknown": UNKNOWN, "negative": 0, "positive": 1}[settings.difficult or "unknown"]

    def part(places: tuple[str, ...], name: str) -> SplitListing:
        return _part(root, _year(root, places, name), name, names, difficult)

    published = settings.validation == "published"
    return Listing(
        root=root,
        label_names=names,
        train=part(TRAIN, "train" if published or settings.variant == "released" else "trainval"),
        validation=part(TRAIN, "val") if published else None,
        test=part(TEST, "test"),
    )


def _part(root: Path, year: Path, name: str, names: tuple[str, ...], difficult: int) -> SplitListing:
    sets = year / "ImageSets" / "Main"
    ids = [line for _, line in tables.lines(sets / f"{name}.txt")]
    row = {id_: index for index, id_ in enumerate(ids)}
    labels = np.full((len(ids), len(names)), -2, np.int8)
    for column, label in enumerate(names):
        file = sets / f"{label.replace(' ', '')}_{name}.txt"
        for number, line in tables.lines(file):
            words = line.split()
            if len(words) != 2 or words[1] not in ("-1", "0", "1"):
                raise TrainerError(f"{file}, line {number}: {line[:60]!r} is not an image and -1, 0 or 1")
            if words[0] in row:
                labels[row[words[0]], column] = {"1": 1, "0": difficult, "-1": 0}[words[1]]
        lacking = np.flatnonzero(labels[:, column] == -2)
        if len(lacking):
            raise TrainerError(f"{file}: {len(lacking)} images of {name}.txt are not in it, {ids[lacking[0]]} first")
    folder = year.relative_to(root).as_posix()
    return SplitListing([f"{folder}/JPEGImages/{id_}.jpg" for id_ in ids], labels)


def _year(root: Path, places: tuple[str, ...], name: str) -> Path:
    years = [root / place for place in places]
    return next((year for year in years if (year / "ImageSets" / "Main" / f"{name}.txt").exists()), years[0])
