"""MLRSNet (Qi et al., ISPRS 2020): satellite images of 46 categories with 60 labels, split by category.

The first half of the categories is for training, the second for testing, so test categories are unseen.

clean     all images.
released  only images with seven or more labels. Unlike the released program, it does not test on training images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prompt_bank.shipped import shipped_labels
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing
from trainer.data.image_files import path_problem
from trainer.data.label_tables import read_label_table
from trainer.errors import TrainerError

PAGE = "https://data.mendeley.com/datasets/7j9bv9vwsx"
ROOTS = ("MLRSNet", ".")
TRAIN = (
    *("airplane", "airport", "bareland", "baseball_diamond", "basketball_court", "beach", "bridge", "chaparral"),
    *("cloud", "commercial_area", "dense_residential_area", "desert", "eroded_farmland", "farmland", "forest"),
    *("freeway", "golf_course", "ground_track_field", "harbor&port", "industrial_area", "intersection", "island"),
    "lake",
)
TEST = (
    *("meadow", "mobile_home_park", "mountain", "overpass", "park", "parking_lot", "parkway", "railway"),
    *("railway_station", "river", "roundabout", "shipping_yard", "snowberg", "sparse_residential_area", "stadium"),
    *("storage_tank", "swimmimg_pool", "tennis_court", "terrace", "transmission_tower", "vegetable_greenhouse"),
    *("wetland", "wind_turbine"),
)
REQUIRED = (
    *(RequiredPath(tuple(f"{r}/Labels/{c}.csv" for r in ROOTS), f"the labels of {c}") for c in (*TRAIN, *TEST)),
    RequiredPath(tuple(f"{r}/Images" for r in ROOTS), "the images (Images/<category>/<file>)"),
)
DEFAULTS: dict[str, dict[str, Any]] = {"clean": {"min_labels": 0}, "released": {"min_labels": 7}}


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """Read the label tables.

    Raises:
        TrainerError: a table is missing or invalid.
    """
    names = tuple(label.name for label in shipped_labels("mlrsnet60"))
    return Listing(root=root, label_names=names, train=_part(root, TRAIN), test=_part(root, TEST))


def _part(root: Path, categories: tuple[str, ...]) -> SplitListing:
    """All images of some categories. An image's folder is its file name up to "_0"."""
    home = next((root / r for r in ROOTS if (root / r / "Labels").is_dir()), root / ROOTS[0])
    below = (home / "Images").relative_to(root).as_posix()
    labels = shipped_labels("mlrsnet60")
    paths: list[str] = []
    values = []
    for category in categories:
        table = home / "Labels" / f"{category}.csv"
        images, read = read_label_table(table, labels)
        out = next((name for name in images if path_problem(name)), None)
        if out is not None:
            raise TrainerError(f"{table}: the path {out[:80]!r} {path_problem(out)}")
        paths += [f"{below}/{name.split('_0', 1)[0]}/{name}" for name in images]
        values.append(read)
    return SplitListing(paths, np.concatenate(values))
