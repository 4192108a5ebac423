"""The data set classes: images, label matrix, label names, and the site that owns each image.

Shape letters: n images of a split, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

UNKNOWN = -1
"""The value of labels without annotation. Unknown labels are not absent: they enter neither losses nor metrics."""


ELONGATED = 1.6
"""Longer over shorter side from which an image counts as far from square: a centre crop leaves out three eighths."""


@dataclass(frozen=True)
class Split:
    """A split of a data set.

    Attributes:
        name: "train", "validation" or "test".
        ids: n unique, stable image ids, in ascending order.
        labels: (n, C) int8; 1 present, 0 absent, -1 unknown.
        sites: (n,) int64; the site that owns each image. -1 if none does: all validation images, and test images that
            are not assigned to clients.
        image: returns the RGB image at an index; picklable, for worker processes.

    Raises:
        ValueError: ids are not unique and ascending, or shapes do not match.
    """

    name: str
    ids: tuple[str, ...]
    labels: np.ndarray
    sites: np.ndarray
    image: Callable[[int], Image.Image]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.ids) or len(self.sites) != len(self.ids):
            raise ValueError(
                f"split {self.name}: {len(self.ids)} ids, {len(self.labels)} label rows, {len(self.sites)} sites"
            )
        if any(a >= b for a, b in zip(self.ids, self.ids[1:], strict=False)):
            raise ValueError(f"split {self.name}: image ids must be unique and ascending")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class MultiLabelDataset:
    """A data set with its three splits.

    Attributes:
        name: of the data set.
        label_names: C names, in the order of the columns of the label matrix.
        train, validation, test: the splits. All training images are owned by sites.
        fingerprint: sha256 of everything that determines pixels and labels (part of the feature cache key).
        site_names: of sites 0, 1 …, if they have names.
        partition: the kind of partition among clients that was made: "site", "kmeans" … or "file"; "" before it.
        notes: for users, on skipped images for instance.
        aliases: other names of labels, by label; from the data's own list of labels.
        elongated: fraction of images whose longer side is at least ELONGATED times the shorter.

    Raises:
        ValueError: a label matrix does not match `label_names`, or two splits share an image.
    """

    name: str
    label_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    site_names: tuple[str, ...] = ()
    partition: str = ""
    notes: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elongated: float = 0.0

    def __post_init__(self) -> None:
        for split in self.splits():
            if split.labels.shape[1] != len(self.label_names):
                raise ValueError(
                    f"{self.name}/{split.name}: {split.labels.shape[1]} label columns, "
                    f"{len(self.label_names)} label names"
                )
        seen: set[str] = set()
        for split in self.splits():
            shared = seen.intersection(split.ids)
            if shared:
                raise ValueError(f"{self.name}: image {min(shared)} is in {split.name} and in another split")
            seen.update(split.ids)

    def splits(self) -> tuple[Split, Split, Split]:
        """The splits in the order train, validation, test."""
        return self.train, self.validation, self.test


def client_sites(train: Split) -> np.ndarray:
    """The site number of each client. Clients are the sites that own training images, in ascending order."""
    sites: np.ndarray = np.unique(train.sites[train.sites >= 0])
    return sites


def client_indices(split: Split) -> tuple[np.ndarray, ...]:
    """For each client the indices of its images, in the order of `client_sites`. Unowned images are excluded."""
    return tuple(np.flatnonzero(split.sites == site) for site in client_sites(split))
