"""From the lists of a published data set to its splits: what all data sets in files have in common.

Shape letters: n images, C labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainer.config.data import DataConfig
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.image_files import ImageFiles, Progress, unreadable
from trainer.errors import TrainerError
from trainer.seeding import numpy_generator

LISTED = 10
"""Images that a message names at the most."""


@dataclass(frozen=True)
class Place:
    """A file or folder that a data set needs.

    Attributes:
        paths: where it may be below the data's root; the first is named to people.
        what: what it is.
    """

    paths: tuple[str, ...]
    what: str

    def find(self, root: Path) -> Path | None:
        """Where it is; None where it is missing."""
        return next((root / path for path in self.paths if (root / path).exists()), None)


@dataclass(frozen=True)
class Part:
    """Images of a split, in any order.

    Attributes:
        paths: n paths below the data's root, with forward slashes; they are the images' ids.
        labels: (n, C) int8; 1, 0, -1 unknown.
        sites: n names of owners, "" for nobody; empty where the data set has none.
    """

    paths: Sequence[str]
    labels: np.ndarray
    sites: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: np.ndarray) -> Part:
        """Some of the images, in that order."""
        sites = [self.sites[i] for i in indices] if self.sites else []
        return Part([self.paths[i] for i in indices], self.labels[indices], sites)


@dataclass(frozen=True)
class Listed:
    """What a data set's own files say.

    Attributes:
        root: the folder that paths are below.
        label_names: C names.
        train, test: their images.
        validation: None where it is made from the training images.
        notes: what a user should know.
    """

    root: Path
    label_names: tuple[str, ...]
    train: Part
    test: Part
    validation: Part | None = None
    notes: tuple[str, ...] = field(default=())

    def parts(self) -> dict[str, Part]:
        """The splits by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}


def assemble(
    name: str, listed: Listed, settings: DataConfig, cache: Path | None = None, progress: Progress | None = None
) -> MultiLabelDataset:
    """The data set: filtered, images checked, sorted by id, validation set aside.

    Args:
        name: under which the command line knows it.
        listed: what its files say.
        settings: min_labels, skip_unreadable, validation.
        cache: where it is kept which images were checked.
        progress: called with (images checked, images in all).

    Raises:
        TrainerError: an image is listed twice or can't be read, or a split is empty.
    """
    parts = {split: enough(part, settings.min_labels or 0) for split, part in listed.parts().items()}
    _no_repeats(name, parts)
    parts, notes = _readable(listed.root, parts, settings.skip_unreadable, cache, progress)
    parts = {split: part.take(np.argsort(np.array(part.paths, dtype=object))) for split, part in parts.items()}
    if "validation" not in parts:
        parts["train"], parts["validation"] = _set_aside(parts["train"], settings)
    for split, part in parts.items():
        if not len(part):
            raise TrainerError(f"{name}: no image is left in {split}; see data.min_labels and data.validation_share")
    names = tuple(sorted({site for part in parts.values() for site in part.sites if site}))
    splits = {split: _split(split, part, listed.root, names) for split, part in parts.items()}
    return MultiLabelDataset(
        name=name,
        label_names=listed.label_names,
        **splits,
        fingerprint=_fingerprint(name, listed, splits),
        site_names=names,
        notes=(*listed.notes, *notes),
    )


def enough(part: Part, least: int) -> Part:
    """The images that show so many labels."""
    return part.take(np.flatnonzero((part.labels == 1).sum(1) >= least)) if least else part


def _no_repeats(name: str, parts: dict[str, Part]) -> None:
    first: dict[str, str] = {}
    for split, part in parts.items():
        for path in part.paths:
            if path in first:
                raise TrainerError(f"{name}: {path} is listed in {first[path]} and again in {split}")
            first[path] = split


def _readable(
    root: Path, parts: dict[str, Part], skip: bool, cache: Path | None, progress: Progress | None
) -> tuple[dict[str, Part], list[str]]:
    """The parts without images that can't be read, and what was left out; an error where that isn't allowed."""
    paths = [path for part in parts.values() for path in part.paths]
    bad = unreadable(root, paths, cache, progress)
    if not bad:
        return parts, []
    named = "; ".join(f"{path}: {reason}" for path, reason in list(bad.items())[:LISTED])
    more = f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
    said = f"{len(bad)} of {len(paths)} images below {root} can't be read: {named}{more}"
    if not skip:
        raise TrainerError(f"{said}. Mend them, or leave them out with --skip-unreadable")
    kept = {
        split: part.take(np.array([i for i, path in enumerate(part.paths) if path not in bad], np.int64))
        for split, part in parts.items()
    }
    return kept, [f"left out: {said}"]


def _set_aside(train: Part, settings: DataConfig) -> tuple[Part, Part]:
    """Training images without a share that is drawn for validation; of the sorted ids, so by the seed alone."""
    count = round(settings.validation_share * len(train))
    drawn = numpy_generator(settings.seed, "validation").permutation(len(train))
    return train.take(np.sort(drawn[count:])), train.take(np.sort(drawn[:count]))


def _split(name: str, part: Part, root: Path, names: tuple[str, ...]) -> Split:
    number = {site: index for index, site in enumerate(names)}
    owned = name != "validation" and part.sites
    sites = np.array([number.get(site, -1) for site in part.sites] if owned else [-1] * len(part), np.int64)
    paths = tuple(part.paths)
    return Split(name, paths, part.labels.astype(np.int8), sites, ImageFiles(root, paths))


def _fingerprint(name: str, listed: Listed, splits: dict[str, Split]) -> str:
    """Over names, ids, sizes of files and labels; not over the folder in which they are."""
    described: list[Any] = [name, listed.label_names]
    for split in splits.values():
        sizes = [(listed.root / path).stat().st_size for path in split.ids]
        labels = hashlib.sha256(np.ascontiguousarray(split.labels).tobytes()).hexdigest()
        described.append([split.name, split.ids, sizes, labels])
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def with_defaults(settings: DataConfig, **defaults: Any) -> DataConfig:
    """The settings with a data set's defaults where nothing was chosen."""
    return settings.model_copy(update={k: v for k, v in defaults.items() if getattr(settings, k) is None})


def counted(labels: np.ndarray) -> np.ndarray:
    """How many images show each label; unknown ones don't."""
    return (labels == 1).sum(0)
