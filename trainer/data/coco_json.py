"""A streaming reader of COCO annotation files. Shape letters: n images, C labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common.coco import identifier, read_categories
from fedmpt.common.json_stream import items
from trainer.data.base import UNKNOWN
from trainer.errors import TrainerError

CROWD = {"positive": 1, "unknown": UNKNOWN, "negative": 0}


@dataclass(frozen=True)
class CocoFile:
    """The labels of a COCO instances file.

    Attributes:
        names: C categories in the order of their ids.
        images: the n image entries with all their fields (file_name, id, …).
        labels: (n, C) int8; 1, 0, -1 unknown.
        notes: on what was left out, for users.
    """

    names: tuple[str, ...]
    images: list[dict[str, Any]]
    labels: np.ndarray
    notes: tuple[str, ...] = ()


def read_coco(path: Path, crowd: str) -> CocoFile:
    """Read an instances file; segmentations and boxes are ignored.

    Args:
        path: the file.
        crowd: the value of a category that is annotated only as a crowd: "positive", "unknown" or "negative".

    Raises:
        InputFileError: invalid or truncated JSON, invalid categories, or two of the same name.
        TrainerError: an invalid image or annotation, whose position is given.
    """
    categories = read_categories(path)
    names = categories.names(path)
    column = {number: index for index, number in enumerate(names)}
    images: list[dict[str, Any]] = []
    row: dict[int | str, int] = {}
    for place, entry in enumerate(items(path, "images.item")):
        image = identifier(entry.get("id")) if isinstance(entry, dict) else None
        if image is None or image in row or not isinstance(entry.get("file_name"), str):
            raise TrainerError(f"{path}, images[{place}]: expected a new id and a file_name")
        row[image] = len(images)
        images.append(entry)
    if not names or not images:
        raise TrainerError(f"{path}: no COCO instances (categories, images and annotations)")
    labels = np.zeros((len(images), len(names)), np.int8)
    crowds = np.zeros_like(labels, dtype=bool)
    for place, entry in enumerate(items(path, "annotations.item")):
        image = identifier(entry.get("image_id")) if isinstance(entry, dict) else None
        category = identifier(entry.get("category_id")) if isinstance(entry, dict) else None
        if image is None or category is None or image not in row or category not in column:
            raise TrainerError(f"{path}, annotations[{place}]: its image or its category is not in the file")
        (crowds if entry.get("iscrowd") else labels)[row[image], column[category]] = 1
    labels[crowds & (labels == 0)] = CROWD[crowd]
    return CocoFile(tuple(names.values()), images, labels, categories.notes)
