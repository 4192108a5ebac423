"""Inspect a data set's folder: present and missing files, unreadable images, duplicates, and label statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath, SplitListing, with_defaults, with_min_labels
from trainer.data.base import UNKNOWN
from trainer.data.image_files import Progress, examine_images
from trainer.data.registry import check_settings, data_root, dataset_module
from trainer.errors import TrainerError

PAIRS = 10
"""Number of most frequent label pairs that are reported."""


@dataclass(frozen=True)
class Inspection:
    """The state of a data set's folder.

    Attributes:
        name, root, page: name, data root, and download page.
        there: required paths that exist, as (description, path).
        missing: required paths that do not exist, as (description, expected path).
        listing: the filtered content of the list files; None if any of these is missing.
        images: the number of listed images.
        unreadable: unusable images with the reason; None if images were not read.
        copies: pairs of images in different splits with identical files; None if images were not read.
    """

    name: str
    root: Path
    page: str
    there: tuple[tuple[str, Path], ...]
    missing: tuple[tuple[str, Path], ...]
    listing: Listing | None
    images: int
    unreadable: dict[str, str] | None
    copies: list[tuple[str, str]] | None

    @property
    def complete(self) -> bool:
        """Whether training can start."""
        return self.listing is not None and not self.missing and not self.unreadable

    def to_dict(self) -> dict[str, Any]:
        """For JSON output."""
        return {
            "dataset": self.name,
            "root": str(self.root),
            "page": self.page,
            "complete": self.complete,
            "there": [{"what": what, "path": str(path)} for what, path in self.there],
            "missing": [{"what": what, "path": str(path)} for what, path in self.missing],
            "images": self.images,
            "unreadable": self.unreadable,
            "copies": self.copies,
            "notes": list(self.listing.notes) if self.listing else [],
            "splits": statistics(self.listing) if self.listing else None,
        }


def inspect(
    settings: DataConfig, read_images: bool, cache: Path | None = None, progress: Progress | None = None
) -> Inspection:
    """Inspect a data set's folder.

    Args:
        settings: data set, data root, variant and filters.
        read_images: whether to read every image.
        cache: folder for the results of image checks.
        progress: called with (images checked, total).

    Raises:
        TrainerError: an unknown name, no such folder, or invalid list files.
    """
    if settings.dataset == "scenes":
        raise TrainerError("scenes is drawn, so nothing of it can be missing; see fedmpt datasets partition scenes")
    check_settings(settings)
    module, root = dataset_module(settings.dataset), data_root(settings, cache, progress)
    settings = with_defaults(settings, **module.DEFAULTS[settings.variant])
    required: list[tuple[RequiredPath, Path | None]] = [(entry, entry.find(root)) for entry in module.REQUIRED]
    there = tuple((entry.what, found) for entry, found in required if found is not None)
    missing = tuple((entry.what, root / entry.paths[0]) for entry, found in required if found is None)
    listing: Listing | None = None
    bad: dict[str, str] | None = None
    copies: list[tuple[str, str]] | None = None
    paths: list[str] = []
    if not [path for _, path in missing if path.suffix]:  # list files can be complete without the image folders
        listing = _filtered(module.read_listing(root, settings), settings)
        paths = [path for images in listing.splits().values() for path in images.paths]
        if read_images:
            found = examine_images(root, paths, cache, progress)
            bad = {path: state.reason for path, state in found.items() if state.reason}
            copies = find_copies(listing, {path: state.content for path, state in found.items()})
    return Inspection(settings.dataset, root, module.PAGE, there, missing, listing, len(paths), bad, copies)


def find_copies(listing: Listing, contents: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pairs of images in different splits with identical files, such as test images that are also trained on.

    Args:
        listing: the images by split.
        contents: the hash of each image's file; "" for missing files, which are skipped.
    """
    first: dict[str, tuple[str, str]] = {}
    found = []
    for split, images in listing.splits().items():
        for path in images.paths:
            if content := contents[path]:
                other_split, other = first.setdefault(content, (split, path))
                if other_split != split:
                    found.append((other, path))
    return found


def statistics(listing: Listing) -> dict[str, dict[str, Any]]:
    """For each split: number of images, mean labels per image, images without labels, label counts, frequent pairs.

    If the validation split is yet to be held out, its images are counted as training images.
    """
    return {name: _statistics(images, listing.label_names) for name, images in listing.splits().items()}


def _statistics(images: SplitListing, names: tuple[str, ...]) -> dict[str, Any]:
    present = images.labels == 1
    together = present.astype(np.float32).T @ present.astype(np.float32)
    pairs = sorted(combinations(range(len(names)), 2), key=lambda pair: -together[pair])[:PAIRS]
    return {
        "images": len(images),
        "labels_per_image": round(float(present.sum(1).mean()), 3) if len(images) else 0.0,
        "without_labels": int((~present.any(1)).sum()),
        "unknown": int((images.labels == UNKNOWN).sum()),
        "labels": {name: int(count) for name, count in zip(names, present.sum(0), strict=True)},
        "pairs": [[names[a], names[b], int(together[a, b])] for a, b in pairs if together[a, b]],
        "sites": {site: images.sites.count(site) for site in sorted(set(images.sites) - {""})},
    }


def _filtered(listing: Listing, settings: DataConfig) -> Listing:
    least = settings.min_labels or 0
    splits = {name: with_min_labels(images, least) for name, images in listing.splits().items()}
    return replace(listing, train=splits["train"], test=splits["test"], validation=splits.get("validation"))
