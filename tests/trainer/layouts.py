"""Small copies of published data sets: their folders, file names and list formats, with pictures of a few pixels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from prompt_bank.shipped import shipped_labels
from trainer.data.sets.mlrsnet import TEST, TRAIN


def picture(path: Path, shade: int = 0) -> None:
    """A small JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade % 256, 100, 200)).save(path, quality=50)


VOC = {
    "train": {"000005": {"chair": 1}, "000007": {"car": 1}, "000009": {"horse": 1, "person": 0}, "000012": {"dog": 0}},
    "val": {"000016": {"bicycle": 1}, "000017": {"person": 1, "horse": 1}, "000019": {"tvmonitor": 1, "cat": 1}},
    "test": {"000001": {"dog": 1, "person": 1}, "000002": {"train": 1, "car": 0}, "000003": {"diningtable": 0}},
}
"""By split and image: 1 shown, 0 shown but difficult; -1 in the files elsewhere."""


def voc2007(root: Path, trainval: str = "VOCdevkit/VOC2007", test: str = "VOCdevkit/VOC2007") -> Path:
    """As the two archives unpack: ImageSets/Main/<class>_<split>.txt with two columns, JPEGImages."""
    classes = [label.name.replace(" ", "") for label in shipped_labels("voc20")]
    splits = {**VOC, "trainval": VOC["train"] | VOC["val"]}
    for split, images in splits.items():
        year = root / (test if split == "test" else trainval)
        sets = year / "ImageSets" / "Main"
        sets.mkdir(parents=True, exist_ok=True)
        (sets / f"{split}.txt").write_text("".join(f"{image}\n" for image in images))
        for name in classes:
            lines = [f"{image} {marks.get(name, -1):>2}\n" for image, marks in images.items()]
            (sets / f"{name}_{split}.txt").write_text("".join(lines))
        for image in images:
            picture(year / "JPEGImages" / f"{image}.jpg", int(image))
    return root


COCO_IDS = [i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
"""COCO's ids of its 80 categories: ten of 1 … 90 were never used."""


def coco_json(path: Path, images: dict[str, list[tuple[int, int]]], **more: dict[str, Any]) -> None:
    """An instances file: for each image (category id, iscrowd) of its annotations; `more` adds fields to an image."""
    names = [label.name for label in shipped_labels("coco80")]
    numbered = {file: 100 + i for i, file in enumerate(images)}
    annotations = [
        {
            "segmentation": {"counts": [3, 4], "size": [6, 8]} if crowd else [[1.0, 1.0, 4.5, 1.0, 4.5, 5.0]],
            "area": 7.0,
            "iscrowd": crowd,
            "image_id": numbered[file],
            "bbox": [1.0, 1.0, 3.5, 4.0],
            "category_id": category,
        }
        for file, shown in images.items()
        for category, crowd in shown
    ]
    content = {
        "info": {"year": 2014},
        "images": [
            {"license": 1, "file_name": file, "height": 6, "width": 8, "id": number, **more.get(file, {})}
            for file, number in numbered.items()
        ],
        "licenses": [],
        "annotations": [{**a, "id": i} for i, a in enumerate(annotations)],
        "categories": [
            {"supercategory": "thing", "id": i, "name": name} for i, name in zip(COCO_IDS, names, strict=True)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


COCO_TRAIN: dict[str, list[tuple[int, int]]] = {
    "COCO_train2014_000000000009.jpg": [(51, 0), (51, 0), (55, 0), (56, 0), (59, 0), (1, 0)],
    "COCO_train2014_000000000025.jpg": [(25, 0)],
    "COCO_train2014_000000000030.jpg": [(64, 0), (1, 1)],
    "COCO_train2014_000000000034.jpg": [(24, 0)],
    "COCO_train2014_000000000036.jpg": [(28, 0), (1, 0), (90, 0), (2, 0), (3, 0)],
    "COCO_train2014_000000000049.jpg": [],
}
COCO_VAL: dict[str, list[tuple[int, int]]] = {
    "COCO_val2014_000000000042.jpg": [(18, 0)],
    "COCO_val2014_000000000073.jpg": [(4, 0), (1, 0), (2, 0), (3, 0), (5, 0)],
}


def coco2014(root: Path, below: str = "coco/") -> Path:
    """annotations/instances_*.json and the image folders."""
    for split, images in (("train2014", COCO_TRAIN), ("val2014", COCO_VAL)):
        coco_json(root / f"{below}annotations/instances_{split}.json", images)
        for i, file in enumerate(images):
            picture(root / f"{below}{split}/{file}", i)
    return root


NUS = {
    "Train": {
        "actor\\0001_2124494179.jpg": {"person"},
        "zebra\\0002_1.jpg": {"zebra", "grass", "sky", "animal", "plants"},
        "airport\\0003_22.jpg": {"airport", "plane", "sky"},
        "boat\\0004_9.jpg": set(),
        "town\\0007_7.jpg": {"person", "street", "sky", "buildings", "cars", "police"},
    },
    "Test": {
        "zebra\\0005_3.jpg": {"zebra", "sky"},
        "town\\0006_4.jpg": {"buildings", "sky", "clouds", "window", "street"},
    },
}


def nuswide(root: Path, below: str = "NUSWIDE/raw/") -> Path:
    """ImageList with backslashes, one file a concept with one 0 or 1 an image, Flickr."""
    raw = root / below
    (raw / "ImageList").mkdir(parents=True)
    (raw / "TrainTestLabels").mkdir()
    concepts = [label.name for label in shipped_labels("nus81")]
    (raw / "Concepts81.txt").write_text("".join(f"{c}\n" for c in concepts))
    for split, images in NUS.items():
        (raw / "ImageList" / f"{split}Imagelist.txt").write_text("".join(f"{line}\r\n" for line in images))
        for concept in concepts:
            lines = "".join(f"{int(concept in shown)}\n" for shown in images.values())
            (raw / "TrainTestLabels" / f"Labels_{concept}_{split}.txt").write_text(lines)
        for i, line in enumerate(images):
            picture(raw / "Flickr" / line.replace("\\", "/"), i)
    return root


MULTISCENE = {
    "Tra": {"0_img": {0, 5}, "1_img": {35}, "2_img": {0, 1, 2}, "3_img": {7}},
    "Test": {"4_img": {5, 6}, "5_img": set()},
}


def multiscene(root: Path, below: str = "MultiScene-Clean/") -> Path:
    """Tra.csv and Test.csv: the image's name without suffix, then 36 columns with published spellings."""
    header = ["image", *(label.aliases[0] if label.aliases else label.name for label in shipped_labels("multiscene36"))]
    for table, images in MULTISCENE.items():
        table_file(root / f"{below}{table}.csv", header, images.items())
        for i, name in enumerate(images):
            picture(root / f"{below}images/{name}.jpg", i)
    return root


def mlrsnet(root: Path, below: str = "MLRSNet/") -> Path:
    """One table a category; the first two images of each, the second one with eight labels."""
    header = ["image", *(label.aliases[0] if label.aliases else label.name for label in shipped_labels("mlrsnet60"))]
    for number, category in enumerate((*TRAIN, *TEST)):
        images = {f"{category}_00001.jpg": {number % 60}, f"{category}_00002.jpg": set(range(8))}
        table_file(root / f"{below}Labels/{category}.csv", header, images.items())
        for i, file in enumerate(images):
            picture(root / f"{below}Images/{category}/{file}", i)
    return root


def table_file(path: Path, header: list[str], rows: Iterable[tuple[str, set[int]]]) -> None:
    """A CSV file with one column of 0 and 1 a label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join([name, *(str(int(c in shown)) for c in range(len(header) - 1))]) for name, shown in rows]
    path.write_text("\n".join([",".join(header), *lines, ""]))
