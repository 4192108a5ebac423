"""A streaming reader of COCO annotation files. Shape letters: n images, C labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson
import numpy as np

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
    """

    names: tuple[str, ...]
    images: list[dict[str, Any]]
    labels: np.ndarray


def read_coco(path: Path, crowd: str) -> CocoFile:
    """Read an instances file; segmentations and boxes are ignored.

    Args:
        path: the file.
        crowd: the value of a category that is annotated only as a crowd: "positive", "unknown" or "negative".

    Raises:
        TrainerError: invalid or truncated JSON, or an invalid entry, whose position is given.
    """
    categories = {}
    for place, entry in enumerate(stream_items(path, "categories.item")):
        match entry:
            case {"id": int(number), "name": str(name)} if number not in categories:
                categories[number] = name
            case _:
                raise TrainerError(f"{path}, categories[{place}]: expected a new id and a name")
    numbers = sorted(categories)
    column = {number: index for index, number in enumerate(numbers)}
    images: list[dict[str, Any]] = []
    row: dict[object, int] = {}
    for place, entry in enumerate(stream_items(path, "images.item")):
        match entry:
            case {"id": int() | str() as image, "file_name": str()} if image not in row:
                row[image] = len(images)
                images.append(entry)
            case _:
                raise TrainerError(f"{path}, images[{place}]: expected a new id and a file_name")
    if not categories or not images:
        raise TrainerError(f"{path}: no COCO instances (categories, images and annotations)")
    labels = np.zeros((len(images), len(numbers)), np.int8)
    crowds = np.zeros_like(labels, dtype=bool)
    for place, entry in enumerate(stream_items(path, "annotations.item")):
        match entry:
            case {"image_id": int() | str() as image, "category_id": int(category)} if (
                image in row and category in column
            ):
                (crowds if entry.get("iscrowd") else labels)[row[image], column[category]] = 1
            case _:
                raise TrainerError(f"{path}, annotations[{place}]: its image or its category is not in the file")
    labels[crowds & (labels == 0)] = CROWD[crowd]
    return CocoFile(tuple(categories[number] for number in numbers), images, labels)


def stream_items(path: Path, prefix: str) -> Iterator[Any]:
    """Stream the items of a list in a JSON file.

    Raises:
        TrainerError: the file cannot be read, or is invalid or truncated JSON.
    """
    try:
        with path.open("rb") as file:
            yield from ijson.items(file, prefix, use_float=True)
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise TrainerError(f"{path}: not JSON, or cut off ({' '.join(str(error).split())[:120]})") from error
    except OSError as error:
        raise TrainerError(f"{path}: cannot be read ({error.strerror})") from error
