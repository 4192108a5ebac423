"""MS COCO 2014 (Lin et al., ECCV 2014): training on train2014, testing on val2014, whose labels are public.

clean     all images; a crowd counts as positive.
released  a crowd does not count; only images with five or more categories, in every split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prompt_bank.shipped import shipped_labels
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing
from trainer.data.coco_json import read_coco
from trainer.data.downloading import Archive
from trainer.errors import TrainerError

PAGE = "https://cocodataset.org/#download"
FROM = "https://s3.amazonaws.com/images.cocodataset.org"
"""The publisher's store; its own host name has no certificate."""
ARCHIVES = (
    Archive(f"{FROM}/annotations/annotations_trainval2014.zip", 252_872_794, "md5:0a379cfc70b0e71301e0f377548639bd"),
    Archive(f"{FROM}/zips/train2014.zip", 13_510_573_713, "md5:0da8c0bd3d6becc4dcb32757491aca88"),
    Archive(f"{FROM}/zips/val2014.zip", 6_645_013_297, "md5:a3d79f5ed8d289b7a7554ce06a5782b3"),
)
TRAIN = RequiredPath(
    ("coco/annotations/instances_train2014.json", "annotations/instances_train2014.json"),
    "the training annotations (annotations_trainval2014)",
)
TEST = RequiredPath(
    ("coco/annotations/instances_val2014.json", "annotations/instances_val2014.json"),
    "the annotations to test on (annotations_trainval2014)",
)
REQUIRED = (
    TRAIN,
    RequiredPath(("coco/train2014", "train2014"), "the training images (train2014)"),
    TEST,
    RequiredPath(("coco/val2014", "val2014"), "the images to test on (val2014)"),
)
DEFAULTS: dict[str, dict[str, Any]] = {
    "clean": {"crowd": "positive", "min_labels": 0},
    "released": {"crowd": "negative", "min_labels": 5},
}


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """Read the annotation files.

    Raises:
        TrainerError: they are missing or invalid, or have other categories.
    """
    names = tuple(label.name for label in shipped_labels("coco80"))
    train, test = (_part(root, place, settings, names) for place in (TRAIN, TEST))
    return Listing(root=root, label_names=names, train=train, test=test)


def _part(root: Path, place: RequiredPath, settings: DataConfig, names: tuple[str, ...]) -> SplitListing:
    path = place.find(root) or root / place.paths[0]
    read = read_coco(path, settings.crowd or "positive")
    if read.names != names:
        other = next((n for n in read.names if n not in names), f"{len(read.names)} categories")
        raise TrainerError(f"{path}: not the 80 categories of COCO ({other}); use --dataset table for other data")
    folder = path.parent.parent / path.stem.removeprefix("instances_")
    below = folder.relative_to(root).as_posix()
    return SplitListing([f"{below}/{image['file_name']}" for image in read.images], read.labels)
