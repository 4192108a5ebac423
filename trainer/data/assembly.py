"""Build a data set from file listings; common to all data sets in files.

Shape letters: n images, C labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from trainer.config.data import DataConfig
from trainer.data.base import ELONGATED, MultiLabelDataset, Split
from trainer.data.drawing import draw_images
from trainer.data.image_files import Examined, ImageFiles, Progress, examine_images
from trainer.data.images import READING
from trainer.errors import TrainerError
from trainer.seeding import numpy_generator

MAX_NAMED = 10
"""Images that a message names at most."""


@dataclass(frozen=True)
class RequiredPath:
    """A file or folder that a data set requires.

    Attributes:
        paths: alternative locations relative to the data root; messages name the first.
        what: description for users.
    """

    paths: tuple[str, ...]
    what: str

    def find(self, root: Path) -> Path | None:
        """The existing location; None if missing."""
        return next((root / path for path in self.paths if (root / path).exists()), None)


@dataclass(frozen=True)
class SplitListing:
    """The images of a split, in any order.

    Attributes:
        paths: n paths relative to the data root, with forward slashes; used as image ids.
        labels: (n, C) int8; 1, 0, -1 unknown.
        sites: n names of the owning sites, "" for none; empty if the data set has no sites.
    """

    paths: Sequence[str]
    labels: np.ndarray
    sites: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: np.ndarray) -> SplitListing:
        """The images at some indices, in that order."""
        sites = [self.sites[i] for i in indices] if self.sites else []
        return SplitListing([self.paths[i] for i in indices], self.labels[indices], sites)


@dataclass(frozen=True)
class Listing:
    """The content of a data set's list and annotation files.

    Attributes:
        root: the data root.
        label_names: C names.
        train, test: the splits.
        validation: None if it is to be split off the training images.
        notes: for users.
        aliases: other names of labels, by label.
    """

    root: Path
    label_names: tuple[str, ...]
    train: SplitListing
    test: SplitListing
    validation: SplitListing | None = None
    notes: tuple[str, ...] = field(default=())
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def splits(self) -> dict[str, SplitListing]:
        """The splits by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in named.items() if split is not None}


def assemble(
    name: str, listing: Listing, settings: DataConfig, cache: Path | None = None, progress: Progress | None = None
) -> MultiLabelDataset:
    """Build the data set: filter and check its images, sort them by id, split off validation images.

    Args:
        name: of the data set.
        listing: its images and labels.
        settings: min_labels, skip_unreadable, validation.
        cache: folder for the results of image checks.
        progress: called with (images checked, total).

    Raises:
        TrainerError: an image is listed twice or is unreadable, or a split is empty.
    """
    splits = {split: with_min_labels(images, settings.min_labels or 0) for split, images in listing.splits().items()}
    _check_unique(name, splits)
    paths = [path for images in splits.values() for path in images.paths]
    examined = examine_images(listing.root, paths, cache, progress)
    splits, notes = _readable(listing.root, splits, settings.skip_unreadable, examined)
    splits = {split: images.take(np.argsort(np.array(images.paths, dtype=object))) for split, images in splits.items()}
    if "validation" not in splits:
        splits["train"], splits["validation"] = _hold_out(splits["train"], settings)
    for split, images in splits.items():
        if not len(images):
            raise TrainerError(f"{name}: no image is left in {split}; see data.min_labels and data.validation_share")
    site_names = tuple(sorted({site for images in splits.values() for site in images.sites if site}))
    assembled = {split: _split(split, images, listing.root, site_names) for split, images in splits.items()}
    return MultiLabelDataset(
        name=name,
        label_names=listing.label_names,
        train=assembled["train"],
        validation=assembled["validation"],
        test=assembled["test"],
        fingerprint=_fingerprint(name, listing, assembled, examined),
        site_names=site_names,
        notes=(*listing.notes, *notes),
        aliases=listing.aliases,
        elongated=_elongated(examined, assembled),
    )


def with_min_labels(images: SplitListing, least: int) -> SplitListing:
    """The images with at least so many positive labels."""
    return images.take(np.flatnonzero((images.labels == 1).sum(1) >= least)) if least else images


def _check_unique(name: str, splits: dict[str, SplitListing]) -> None:
    first: dict[str, str] = {}
    for split, images in splits.items():
        for path in images.paths:
            if path in first:
                raise TrainerError(f"{name}: {path} is listed in {first[path]} and again in {split}")
            first[path] = split


def _readable(
    root: Path, splits: dict[str, SplitListing], skip: bool, examined: dict[str, Examined]
) -> tuple[dict[str, SplitListing], list[str]]:
    """The splits without unreadable images, and notes on those; an error unless `skip`."""
    bad = {path: state.reason for path, state in examined.items() if state.reason}
    if not bad:
        return splits, []
    named = "; ".join(f"{path}: {reason}" for path, reason in list(bad.items())[:MAX_NAMED])
    more = f"; and {len(bad) - MAX_NAMED} more" if len(bad) > MAX_NAMED else ""
    message = f"{len(bad)} of {len(examined)} images below {root} can't be read: {named}{more}"
    if not skip:
        raise TrainerError(f"{message}. Mend them, or leave them out with --skip-unreadable")
    readable = {
        split: images.take(np.array([i for i, path in enumerate(images.paths) if path not in bad], np.int64))
        for split, images in splits.items()
    }
    return readable, [f"left out: {message}"]


def _hold_out(train: SplitListing, settings: DataConfig) -> tuple[SplitListing, SplitListing]:
    """Training and validation images; since ids are sorted, the split depends on the seed and the labels only."""
    count = round(settings.validation_share * len(train))
    drawn = draw_images(train.labels, count, numpy_generator(settings.seed, "validation"))
    return train.take(np.setdiff1d(np.arange(len(train)), drawn)), train.take(drawn)


def _elongated(examined: dict[str, Examined], splits: dict[str, Split]) -> float:
    aspects = [examined[path].aspect for split in splits.values() for path in split.ids]
    return sum(aspect >= ELONGATED for aspect in aspects) / len(aspects)


def _split(name: str, images: SplitListing, root: Path, site_names: tuple[str, ...]) -> Split:
    number = {site: index for index, site in enumerate(site_names)}
    owned = name != "validation" and images.sites
    sites = np.array([number.get(site, -1) for site in images.sites] if owned else [-1] * len(images), np.int64)
    paths = tuple(images.paths)
    return Split(name, paths, images.labels.astype(np.int8), sites, ImageFiles(root, paths))


def _fingerprint(name: str, listing: Listing, splits: dict[str, Split], examined: dict[str, Examined]) -> str:
    """Hash of names, ids, the contents of files, labels and the way of reading; independent of the data root."""
    described: list[Any] = [name, listing.label_names, READING]
    for split in splits.values():
        contents = [examined[path].content for path in split.ids]
        labels = hashlib.sha256(np.ascontiguousarray(split.labels).tobytes()).hexdigest()
        described.append([split.name, split.ids, contents, labels])
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()


def with_defaults(settings: DataConfig, **defaults: Any) -> DataConfig:
    """The settings, with defaults for those that are None."""
    return settings.model_copy(update={k: v for k, v in defaults.items() if getattr(settings, k) is None})
