"""Small label and annotation files in the supported formats."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

CATEGORIES = {18: "dog", 1: "person", 17: "cat", 63: "couch"}
IMAGES: dict[str, set[str]] = {
    "a.jpg": {"cat", "couch"},
    "b.jpg": {"cat", "couch", "person"},
    "c.jpg": {"dog", "person"},
    "d.jpg": {"dog"},
    "e.jpg": set(),
}


def write_json(path: Path, value: Any) -> Path:
    """Write JSON, gzipped if the name ends in .gz."""
    content = json.dumps(value).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def coco(path: Path, images: dict[str, set[str]] = IMAGES, categories: dict[int, str] = CATEGORIES) -> Path:
    """An instances file in COCO's order of keys, with two instances of every label and a crowd."""
    ids = {name: number for number, name in categories.items()}
    annotations = [
        {
            "segmentation": [[1.5, 2.0, 3.0, 4.0, 5.0, 6.0]],
            "area": 2.5,
            "iscrowd": copy,
            "image_id": number,
            "bbox": [0.0, 0.0, 1.0, 1.0],
            "category_id": ids[name],
            "id": 10 * number + copy,
        }
        for number, names in enumerate(images.values(), start=1)
        for name in sorted(names)
        for copy in (0, 1)
    ]
    return write_json(
        path,
        {
            "info": {"year": 2014},
            "images": [{"id": i, "file_name": file} for i, file in enumerate(images, start=1)],
            "licenses": [],
            "annotations": annotations,
            "categories": [{"supercategory": "x", "id": i, "name": name} for i, name in categories.items()],
        },
    )


def voc(root: Path, images: dict[str, set[str]] = IMAGES, main: bool = True) -> Path:
    """A devkit folder. The objects of d.jpg are marked difficult; f.jpg of the test set has all classes."""
    year = root / "VOCdevkit" / "VOC2007"
    (year / "Annotations").mkdir(parents=True)
    for file, names in images.items():
        objects = "".join(
            f"<object><name>{name}</name><difficult>{int(file == 'd.jpg')}</difficult></object>"
            for name in sorted(names)
        )
        (year / "Annotations" / file.replace(".jpg", ".xml")).write_text(f"<annotation>{objects}</annotation>")
    if main:
        sets = year / "ImageSets" / "Main"
        sets.mkdir(parents=True)
        (sets / "trainval.txt").write_text("".join(f"{file[:-4]}\n" for file in images))
        for name in sorted(set().union(*images.values())):
            lines = [
                f"{file[:-4]} {-1 if name not in names else 0 if file == 'd.jpg' else 1:>2}\n"
                for file, names in images.items()
            ]
            (sets / f"{name}_trainval.txt").write_text("".join(lines))
            (sets / f"{name}_test.txt").write_text("f  1\n")
    return root
