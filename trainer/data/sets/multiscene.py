"""MultiScene-Clean (Hua et al., TGRS 2021): aerial images with 36 scene classes, split as published.

The variants clean and released are the same; nothing is filtered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prompt_bank.shipped import shipped_labels
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing
from trainer.data.image_files import path_problem
from trainer.data.label_tables import read_label_table
from trainer.errors import TrainerError

PAGE = "https://gitlab.lrz.de/ai4eo/reasoning/multiscene"
ROOTS = ("MultiScene-Clean", ".")
TRAIN = RequiredPath(tuple(f"{r}/Tra.csv" for r in ROOTS), "the training labels")
TEST = RequiredPath(tuple(f"{r}/Test.csv" for r in ROOTS), "the test labels")
REQUIRED = (TRAIN, TEST, RequiredPath(tuple(f"{r}/images" for r in ROOTS), "the images (images/<name>.jpg)"))
DEFAULTS: dict[str, dict[str, Any]] = {"clean": {"min_labels": 0}, "released": {"min_labels": 0}}


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """Read the label tables.

    Raises:
        TrainerError: a table is missing or invalid.
    """
    labels = shipped_labels("multiscene36")
    parts = []
    for place in (TRAIN, TEST):
        table = place.find(root) or root / place.paths[0]
        images, values = read_label_table(table, labels)
        below = (table.parent / "images").relative_to(root).as_posix()
        out = next((name for name in images if path_problem(name)), None)
        if out is not None:
            raise TrainerError(f"{table}: the path {out[:80]!r} {path_problem(out)}")
        parts.append(SplitListing([f"{below}/{name.removesuffix('.jpg')}.jpg" for name in images], values))
    names = tuple(label.name for label in labels)
    return Listing(root=root, label_names=names, train=parts[0], test=parts[1])
