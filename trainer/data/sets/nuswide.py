"""NUS-WIDE (Chua et al., CIVR 2009) with its 81 concepts and its published training and test lists.

clean     all images.
released  only images with five or more concepts, in every split.

Many copies lack some of the Flickr images; they count as missing, see data.skip_unreadable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common import tables
from prompt_bank.shipped import shipped_labels
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing
from trainer.data.image_files import path_problem
from trainer.errors import TrainerError

PAGE = "https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/nuswide/NUS-WIDE.html"
ROOTS = ("NUSWIDE/raw", "raw", ".")
LABELS = ("TrainTestLabels", "Groundtruth/TrainTestLabels")
REQUIRED = (
    RequiredPath(tuple(f"{r}/ImageList/TrainImagelist.txt" for r in ROOTS), "the list of training images (ImageList)"),
    RequiredPath(tuple(f"{r}/ImageList/TestImagelist.txt" for r in ROOTS), "the list of test images (ImageList)"),
    RequiredPath(
        tuple(f"{r}/{f}/Labels_airport_Train.txt" for r in ROOTS for f in LABELS), "the labels (TrainTestLabels)"
    ),
    RequiredPath(tuple(f"{r}/Flickr" for r in ROOTS), "the images (Flickr/<folder>/<file>)"),
)
DEFAULTS: dict[str, dict[str, Any]] = {"clean": {"min_labels": 0}, "released": {"min_labels": 5}}


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """Read the image lists and label files.

    Raises:
        TrainerError: a file is missing or invalid, or lengths differ.
    """
    names = tuple(label.name for label in shipped_labels("nus81"))
    raw = next((root / r for r in ROOTS if (root / r / "ImageList").is_dir()), root / ROOTS[0])
    train, test = (_part(root, raw, name, names) for name in ("Train", "Test"))
    return Listing(root=root, label_names=names, train=train, test=test)


def _part(root: Path, raw: Path, name: str, names: tuple[str, ...]) -> SplitListing:
    below = (raw / "Flickr").relative_to(root).as_posix()
    paths = []
    file = raw / "ImageList" / f"{name}Imagelist.txt"
    for number, line in tables.lines(file):
        path = line.replace("\\", "/")
        if problem := path_problem(path):
            raise TrainerError(f"{file}, line {number}: the path {line[:80]!r} {problem}")
        paths.append(f"{below}/{path}")
    labels = np.zeros((len(paths), len(names)), np.int8)
    folder = next((raw / f for f in LABELS if (raw / f).is_dir()), raw / LABELS[0])
    for column, label in enumerate(names):
        file = folder / f"Labels_{label}_{name}.txt"
        values = _marks(file)
        if len(values) != len(paths):
            raise TrainerError(f"{file}: {len(values)} lines for the {len(paths)} images of {name}Imagelist.txt")
        labels[:, column] = values
    return SplitListing(paths, labels)


def _marks(file: Path) -> np.ndarray:
    """(n,) bool from lines of 0 and 1; parsed line by line only to report an error, as there are 22 million lines."""
    try:
        values = np.array(file.read_bytes().split())
    except OSError as error:
        raise TrainerError(f"{file}: cannot be read ({error.strerror})") from error
    if not np.isin(values, (b"0", b"1")).all():
        number, line = next((number, line) for number, line in tables.lines(file) if line not in ("0", "1"))
        raise TrainerError(f"{file}, line {number}: {line[:40]!r} is not 0 or 1")
    return values == b"1"
