"""What is there of a data set, what is missing and where it belongs, and what its labels are like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from trainer.config.data import DataConfig
from trainer.data.assembly import Listed, Part, Place, enough, with_defaults
from trainer.data.base import UNKNOWN
from trainer.data.image_files import Progress, unreadable
from trainer.data.registry import check_settings, module_of, root_of
from trainer.errors import TrainerError

PAIRS = 10
"""Pairs of labels that are reported, those most often together first."""


@dataclass(frozen=True)
class Inspection:
    """The state of a data set in a folder.

    Attributes:
        name, root, page: which, where, and where to download it.
        there: places that were found, as (what, path).
        missing: places that were not, as (what, path where it belongs).
        listed: what its lists say, after the filters; None where something of them is missing.
        images: how many are listed.
        unreadable: of those the ones that can't be used, with the reason; None where they were not looked at.
        copies: pairs of images in two splits whose files are the same, byte for byte; None likewise.
    """

    name: str
    root: Path
    page: str
    there: tuple[tuple[str, Path], ...]
    missing: tuple[tuple[str, Path], ...]
    listed: Listed | None
    images: int
    unreadable: dict[str, str] | None
    copies: list[tuple[str, str]] | None

    @property
    def complete(self) -> bool:
        """Whether training can begin."""
        return self.listed is not None and not self.missing and not self.unreadable

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
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
            "splits": statistics(self.listed) if self.listed else None,
        }


def inspect(
    settings: DataConfig, look_at_images: bool, cache: Path | None = None, progress: Progress | None = None
) -> Inspection:
    """Look at a data set's folder.

    Args:
        settings: which data set, where it is, its variant and filters.
        look_at_images: read every image.
        cache: where it is kept which images were checked.
        progress: called with (images checked, images in all).

    Raises:
        TrainerError: an unknown name, no such folder, or lists that are there but wrong.
    """
    if settings.dataset == "scenes":
        raise TrainerError("scenes is drawn, so nothing of it can be missing; see fedmpt datasets partition scenes")
    check_settings(settings)
    module, root = module_of(settings.dataset), root_of(settings)
    settings = with_defaults(settings, **module.DEFAULTS[settings.variant])
    places: list[tuple[Place, Path | None]] = [(place, place.find(root)) for place in module.PLACES]
    there = tuple((place.what, found) for place, found in places if found is not None)
    missing = tuple((place.what, root / place.paths[0]) for place, found in places if found is None)
    listed: Listed | None = None
    bad: dict[str, str] | None = None
    copies: list[tuple[str, str]] | None = None
    paths: list[str] = []
    if not [path for _, path in missing if path.suffix]:  # images can be missing and the lists be there
        listed = _filtered(module.listed(root, settings), settings)
        paths = [path for part in listed.parts().values() for path in part.paths]
        if look_at_images:
            bad = unreadable(root, paths, cache, progress)
            copies = copies_between(listed)
    return Inspection(settings.dataset, root, module.PAGE, there, missing, listed, len(paths), bad, copies)


def copies_between(listed: Listed) -> list[tuple[str, str]]:
    """Pairs of images of different splits whose files are equal: a test image that was trained on.

    Only files of the same size are read. Files that are missing are passed over.
    """
    by_size: dict[int, list[tuple[str, str]]] = {}
    for split, part in listed.parts().items():
        for path in part.paths:
            file = listed.root / path
            if file.is_file():
                by_size.setdefault(file.stat().st_size, []).append((split, path))
    found = []
    for alike in by_size.values():
        if len({split for split, _ in alike}) < 2:
            continue
        first: dict[bytes, tuple[str, str]] = {}
        for split, path in alike:
            digest = hashlib.sha256((listed.root / path).read_bytes()).digest()
            other_split, other = first.setdefault(digest, (split, path))
            if other_split != split:
                found.append((other, path))
    return found


def statistics(listed: Listed) -> dict[str, dict[str, Any]]:
    """For each split: images, labels of an image in the mean, images without any, counts of labels, frequent pairs.

    A validation split that is made from the training images is still among these.
    """
    return {name: _statistics(part, listed.label_names) for name, part in listed.parts().items()}


def _statistics(part: Part, names: tuple[str, ...]) -> dict[str, Any]:
    present = part.labels == 1
    together = present.astype(np.float32).T @ present.astype(np.float32)
    pairs = sorted(combinations(range(len(names)), 2), key=lambda pair: -together[pair])[:PAIRS]
    return {
        "images": len(part),
        "labels_per_image": round(float(present.sum(1).mean()), 3) if len(part) else 0.0,
        "without_labels": int((~present.any(1)).sum()),
        "unknown": int((part.labels == UNKNOWN).sum()),
        "labels": {name: int(count) for name, count in zip(names, present.sum(0), strict=True)},
        "pairs": [[names[a], names[b], int(together[a, b])] for a, b in pairs if together[a, b]],
        "sites": {site: part.sites.count(site) for site in sorted(set(part.sites) - {""})},
    }


def _filtered(listed: Listed, settings: DataConfig) -> Listed:
    least = settings.min_labels or 0
    parts = {name: enough(part, least) for name, part in listed.parts().items()}
    return Listed(listed.root, listed.label_names, parts["train"], parts["test"], parts.get("validation"), listed.notes)
