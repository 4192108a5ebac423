"""The user's own images, listed in a CSV, JSON lines or COCO JSON file in the image folder (docs/datasets.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fedmpt.common.label_files import read_label_names
from fedmpt.common.label_names import check_names, space_doubts
from fedmpt.common.words import fold
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing
from trainer.data.base import UNKNOWN
from trainer.data.drawing import draw_images
from trainer.data.image_files import path_problem
from trainer.data.sets.table_rows import Row, TableContent, owner_notes, read_coco_table, read_csv, read_jsonl
from trainer.errors import TrainerError
from trainer.seeding import numpy_generator

PAGE = "docs/datasets.md says what the table looks like"
REQUIRED: tuple[RequiredPath, ...] = ()
DEFAULTS: dict[str, dict[str, Any]] = {
    variant: {"min_labels": 0, "crowd": "positive"} for variant in ("clean", "released")
}

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """Read the table. If it has no splits, test images are sampled by data.seed.

    Raises:
        TrainerError: no table, or more than one; invalid rows, all of them at once.
    """
    path = _table(root, settings)
    return to_listing(root, path, _read(path, settings), settings)


def to_listing(root: Path, path: Path, read: TableContent, settings: DataConfig) -> Listing:
    """The listing of a table that was read.

    Args:
        root: the images' folder.
        path: of the table, for messages.
        read: its content.
        settings: labels, splits.

    Raises:
        TrainerError: invalid rows, all of them at once.
    """
    names, problems, aliases = read.names, list[str](), dict[str, tuple[str, ...]]()
    if settings.table.labels is not None:
        listed = read_label_names(settings.table.labels)
        names = tuple(label[0] for label in listed.names)
        aliases = {label[0]: label[1:] for label in listed.names if label[1:]}
        read.notes += listed.warnings
    elif not names:
        names, problems = _collect_labels(read)
    else:
        wrong, doubts = check_names([("the labels", (name,)) for name in names], read.explicit)
        problems, read.notes = wrong, read.notes + [f"{path}, {doubt}" for doubt in doubts]
    if len(names) < 2 and not problems:
        raise TrainerError(f"{path}: {len(names)} labels; two are needed to tell them apart")
    labels = _label_matrix(read, names, aliases, problems)
    if problems:
        more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise TrainerError("\n".join([*(f"{path}, {problem}" for problem in problems[:20]), *more]))
    return replace(_listing(root, path, names, read, labels, settings), aliases=aliases)


def _label_matrix(
    read: TableContent, names: tuple[str, ...], aliases: Mapping[str, tuple[str, ...]], problems: list[str]
) -> np.ndarray:
    """(n, C) int8: 1, 0, -1 unknown; what is wrong with the rows is added to the problems, aliases to the notes."""
    rows = read.rows
    others = {fold(alias): index for index, name in enumerate(names) for alias in aliases.get(name, ())}
    column = {**others, **{fold(name): index for index, name in enumerate(names)}}
    used: dict[str, str] = {}
    labels = np.zeros((len(rows), len(names)), np.int8)
    first: dict[str, str] = {}
    for index, row in enumerate(rows):
        problems += [f"{row.place}: {problem}" for problem in _row_problems(row, first)]
        for value, marked in ((UNKNOWN, row.unknown), (1, row.labels)):
            for label in marked:
                if fold(label) in column:
                    labels[index, column[fold(label)]] = value
                    if fold(label) in others and fold(label) != fold(names[column[fold(label)]]):
                        used[label] = names[column[fold(label)]]
                else:
                    problems.append(f"{row.place}: '{label[:80]}' is not one of the labels")
    read.notes += [f"'{alias}' in the table is read as '{name}', whose alias it is" for alias, name in used.items()]
    return labels


def _listing(
    root: Path, path: Path, names: tuple[str, ...], read: TableContent, labels: np.ndarray, settings: DataConfig
) -> Listing:
    rows = read.rows
    split = _assign_splits(path, rows, labels, settings)
    has_sites = any(row.site for row in rows)
    for row, name in zip(rows, split, strict=True):
        if has_sites and name == "train" and not row.site:
            raise TrainerError(f"{path}, {row.place}: no site, but other rows have one; each training image needs one")

    def part(name: str) -> SplitListing:
        chosen = [i for i, row_split in enumerate(split) if row_split == name]
        sites = [rows[i].site for i in chosen] if has_sites else []
        return SplitListing([rows[i].path for i in chosen], labels[np.array(chosen, np.int64)], sites)

    validation = part("validation") if "validation" in split else None
    notes = (*read.notes, *owner_notes(read.ignored, len(rows), has_sites))
    return Listing(
        root=root, label_names=names, train=part("train"), validation=validation, test=part("test"), notes=notes
    )


def _table(root: Path, settings: DataConfig) -> Path:
    if settings.table.file is not None:
        path = root / settings.table.file
        if not path.is_file():
            raise TrainerError(f"{path}: there is no such table (data.table.file)")
        return path
    chosen = settings.table.labels
    found = [
        p
        for p in sorted(root.iterdir())
        if p.suffix.lower() in SUFFIXES and p.name[0] != "." and (not chosen or p != chosen)
    ]
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:8]) or "none"
        raise TrainerError(f"{root}: expected one table (.csv, .jsonl, .json), there are: {names}; see data.table.file")
    return found[0]


def _read(path: Path, settings: DataConfig) -> TableContent:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        found = read_csv(path)
    elif suffix in (".jsonl", ".ndjson"):
        found = read_jsonl(path)
    elif suffix == ".json":
        found = read_coco_table(path, settings.crowd or "positive")
    else:
        raise TrainerError(f"{path}: expected .csv, .tsv, .jsonl or .json")
    if not found.rows:
        raise TrainerError(f"{path}: no images are listed")
    return found


def _collect_labels(read: TableContent) -> tuple[tuple[str, ...], list[str]]:
    """The labels that occur, in alphabetical order, and the problems of their spelling; doubts become notes."""
    first: dict[str, tuple[str, str]] = {}
    problems = []
    for row in read.rows:
        for label in (*row.labels, *row.unknown):
            known, place = first.setdefault(fold(label), (label, row.place))
            if known != label:
                problems.append(f"{row.place}: '{label}' is written '{known}' at {place}; write it one way")
    wrong, doubts = check_names([(place, (name,)) for name, place in first.values()], read.explicit)
    read.notes += doubts
    if not read.explicit:
        read.notes += space_doubts({name for name, _ in first.values()}, any(len(row.labels) > 1 for row in read.rows))
    return tuple(sorted(known for known, _ in first.values())), problems + wrong


def _row_problems(row: Row, first: dict[str, str]) -> Iterator[str]:
    """Why a row is invalid, apart from label names."""
    if problem := path_problem(row.path):
        yield f"the path {row.path[:80]!r} {problem}"
    if row.path in first:
        yield f"{row.path} stands at {first[row.path]} already"
    first.setdefault(row.path, row.place)
    if row.split and row.split.lower() not in SPLITS:
        yield f"the split {row.split[:40]!r} is none of train, validation, test"
    both = {fold(x) for x in row.labels} & {fold(x) for x in row.unknown}
    if both:
        yield f"'{min(both)}' is both shown and unknown"


def _assign_splits(path: Path, rows: list[Row], labels: np.ndarray, settings: DataConfig) -> list[str]:
    """The split of each row."""
    given = [SPLITS.get(row.split.lower(), "") for row in rows]
    if not any(given):
        order = sorted(range(len(rows)), key=lambda i: rows[i].path)
        count = round(settings.table.test_share * len(rows))
        drawn = draw_images(labels[order], count, numpy_generator(settings.seed, "test"))
        tested = {order[i] for i in drawn}
        return ["test" if i in tested else "train" for i in range(len(rows))]
    without = next((row.place for row, split in zip(rows, given, strict=True) if not split), None)
    if without is not None:
        raise TrainerError(f"{path}, {without}: no split, but other rows have one; write train, validation or test")
    if "test" not in given or "train" not in given:
        raise TrainerError(f"{path}: no row is of the split {'test' if 'train' in given else 'train'}")
    return given
