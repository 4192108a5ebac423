"""Images of your own: a CSV file, JSON lines or COCO JSON in the folder with the images (docs/datasets.md)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common import tables
from fedmpt.common.words import BIDI_CONTROLS, fold
from trainer.config.data import DataConfig
from trainer.data.assembly import Listed, Part, Place
from trainer.data.base import UNKNOWN
from trainer.data.image_files import unsafe
from trainer.data.sets.table_rows import Row, coco_rows, csv_rows, jsonl_rows
from trainer.errors import TrainerError
from trainer.seeding import numpy_generator

PAGE = "docs/datasets.md says what the table looks like"
PLACES: tuple[Place, ...] = ()
DEFAULTS: dict[str, dict[str, Any]] = {
    variant: {"min_labels": 0, "crowd": "positive"} for variant in ("clean", "released")
}

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json")
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def listed(root: Path, settings: DataConfig) -> Listed:
    """What the table says. Where it has no splits, test images are drawn by data.seed.

    Raises:
        TrainerError: no table, or more than one; rows that can't be used, all of them at once.
    """
    path = _table(root, settings)
    names, rows = _read(path, settings)
    if settings.table.labels is not None:
        names = tuple(line.split(",")[0].strip() for _, line in tables.lines(settings.table.labels) if line[0] != "#")
    problems: list[str] = []
    if not names:
        names, problems = _spelled(rows)
    problems += [f"the label {name[:120]!r} {problem}" for name in names for problem in _unfit(name)]
    if len(names) < 2:
        raise TrainerError(f"{path}: {len(names)} labels; two are needed to tell them apart")
    column = {fold(name): index for index, name in enumerate(names)}
    labels = np.zeros((len(rows), len(names)), np.int8)
    first: dict[str, str] = {}
    for index, row in enumerate(rows):
        problems += [f"{row.place}: {problem}" for problem in _wrong(row, first)]
        for value, marked in ((UNKNOWN, row.unknown), (1, row.labels)):
            for label in marked:
                if fold(label) in column:
                    labels[index, column[fold(label)]] = value
                else:
                    problems.append(f"{row.place}: '{label[:80]}' is not one of the labels")
    if problems:
        more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise TrainerError("\n".join([*(f"{path}, {problem}" for problem in problems[:20]), *more]))
    return _listed(root, path, names, rows, labels, settings)


def _listed(
    root: Path, path: Path, names: tuple[str, ...], rows: list[Row], labels: np.ndarray, settings: DataConfig
) -> Listed:
    split = _splits(path, rows, settings)
    has_sites = any(row.site for row in rows)
    for row, name in zip(rows, split, strict=True):
        if has_sites and name == "train" and not row.site:
            raise TrainerError(f"{path}, {row.place}: no site, but other rows have one; each training image needs one")

    def part(name: str) -> Part:
        chosen = [i for i, row_split in enumerate(split) if row_split == name]
        sites = [rows[i].site for i in chosen] if has_sites else []
        return Part([rows[i].path for i in chosen], labels[np.array(chosen, np.int64)], sites)

    validation = part("validation") if "validation" in split else None
    return Listed(root=root, label_names=names, train=part("train"), validation=validation, test=part("test"))


def _table(root: Path, settings: DataConfig) -> Path:
    if settings.table.file is not None:
        path = root / settings.table.file
        if not path.is_file():
            raise TrainerError(f"{path}: there is no such table (data.table.file)")
        return path
    chosen = settings.table.labels
    found = [p for p in sorted(root.iterdir()) if p.suffix.lower() in SUFFIXES and (not chosen or p != chosen)]
    if len(found) != 1:
        listed = ", ".join(p.name for p in found[:8]) or "none"
        raise TrainerError(
            f"{root}: expected one table (.csv, .jsonl, .json), there are: {listed}; see data.table.file"
        )
    return found[0]


def _read(path: Path, settings: DataConfig) -> tuple[tuple[str, ...], list[Row]]:
    """The labels in the table's order, empty where it has none, and its rows."""
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        names, rows = csv_rows(path)
    elif suffix == ".jsonl":
        names, rows = (), jsonl_rows(path)
    elif suffix == ".json":
        names, rows = coco_rows(path, settings.crowd or "positive")
    else:
        raise TrainerError(f"{path}: expected .csv, .tsv, .jsonl or .json")
    found = list(rows)
    if not found:
        raise TrainerError(f"{path}: no images are listed")
    return names, found


def _spelled(rows: list[Row]) -> tuple[tuple[str, ...], list[str]]:
    """The labels that occur, by the alphabet, and where one is written in two ways."""
    first: dict[str, tuple[str, str]] = {}
    problems = []
    for row in rows:
        for label in (*row.labels, *row.unknown):
            known, place = first.setdefault(fold(label), (label, row.place))
            if known != label:
                problems.append(f"{row.place}: '{label}' is written '{known}' at {place}; write it one way")
    return tuple(sorted(known for known, _ in first.values())), problems


def _unfit(name: str) -> Iterator[str]:
    """Why a name can't be a label: the same rules as in a bank."""
    if not 0 < len(name) <= 100:
        yield f"has {len(name)} characters; 1 to 100 are allowed"
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in BIDI_CONTROLS for sign in name):
        yield "has a line break or another control character; remove it"


def _wrong(row: Row, first: dict[str, str]) -> Iterator[str]:
    """What keeps a row from being used, but for its labels' names."""
    if unsafe(row.path):
        yield f"the path {row.path[:80]!r} must lie below the data's folder"
    if row.path in first:
        yield f"{row.path} stands at {first[row.path]} already"
    first.setdefault(row.path, row.place)
    if row.split and row.split.lower() not in SPLITS:
        yield f"the split {row.split[:40]!r} is none of train, validation, test"
    both = {fold(x) for x in row.labels} & {fold(x) for x in row.unknown}
    if both:
        yield f"'{min(both)}' is both shown and unknown"


def _splits(path: Path, rows: list[Row], settings: DataConfig) -> list[str]:
    """The split of each row."""
    said = [SPLITS.get(row.split.lower(), "") for row in rows]
    if not any(said):
        order = sorted(range(len(rows)), key=lambda i: rows[i].path)
        drawn = numpy_generator(settings.seed, "test").permutation(len(rows))
        tested = {order[i] for i in drawn[: round(settings.table.test_share * len(rows))]}
        return ["test" if i in tested else "train" for i in range(len(rows))]
    without = next((row.place for row, split in zip(rows, said, strict=True) if not split), None)
    if without is not None:
        raise TrainerError(f"{path}, {without}: no split, but other rows have one; write train, validation or test")
    if "test" not in said or "train" not in said:
        raise TrainerError(f"{path}: no row is of the split {'test' if 'train' in said else 'train'}")
    return said
