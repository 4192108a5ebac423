"""MultiScene-Clean (Hua et al., TGRS 2021): aerial images with 36 scene classes, split as published.

clean and released are the same here: nothing is filtered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prompt_bank.shipped import shipped_labels
from trainer.config.data import DataConfig
from trainer.data.assembly import Listed, Part, Place
from trainer.data.image_files import unsafe
from trainer.data.label_tables import read_label_table
from trainer.errors import TrainerError

PAGE = "https://gitlab.lrz.de/ai4eo/reasoning/multiscene"
ROOTS = ("MultiScene-Clean", ".")
TRAIN = Place(tuple(f"{r}/Tra.csv" for r in ROOTS), "the training labels")
TEST = Place(tuple(f"{r}/Test.csv" for r in ROOTS), "the test labels")
PLACES = (TRAIN, TEST, Place(tuple(f"{r}/images" for r in ROOTS), "the images (images/<name>.jpg)"))
DEFAULTS: dict[str, dict[str, Any]] = {"clean": {"min_labels": 0}, "released": {"min_labels": 0}}


def listed(root: Path, settings: DataConfig) -> Listed:
    """What the tables say.

    Raises:
        TrainerError: a table is missing or wrong.
    """
    labels = shipped_labels("multiscene36")
    parts = []
    for place in (TRAIN, TEST):
        table = place.find(root) or root / place.paths[0]
        images, values = read_label_table(table, labels)
        below = (table.parent / "images").relative_to(root).as_posix()
        out = next((name for name in images if unsafe(name)), None)
        if out is not None:
            raise TrainerError(f"{table}: {out[:80]!r} leads out of the folder")
        parts.append(Part([f"{below}/{name.removesuffix('.jpg')}.jpg" for name in images], values))
    names = tuple(label.name for label in labels)
    return Listed(root=root, label_names=names, train=parts[0], test=parts[1])
