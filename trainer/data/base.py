"""What a data set is: images, a label matrix, label names, and who owns each image.

Shape letters: n images of a split, C labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

UNKNOWN = -1
"""Value of a label that nobody annotated. Unknown is not absent: it never enters a loss or a metric."""


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        name: "train", "validation" or "test".
        ids: n unique, stable image ids, in ascending order.
        labels: (n, C) int8; 1 present, 0 absent, -1 unknown.
        sites: (n,) int64; the owner of each image, -1 where nobody owns it: all of validation, and of test unless it
            has images of the clients' own.
        image: gives the RGB image of an index; picklable, so that worker processes can call it.

    Raises:
        ValueError: where ids are not unique and ascending, or the shapes disagree.
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
        name: the name under which the command line knows it.
        label_names: C names, in the order of the label matrix' columns.
        train: owned by the sites; validation, test: owned by nobody, never trained on.
        fingerprint: sha256 over everything that determines pixels and labels (keys the feature cache).
        site_names: of the sites 0, 1 …, where they have names.
        notes: what a user should know: images that were left out, for instance.

    Raises:
        ValueError: where a split's label matrix has another width than `label_names`, or two splits share an image.
    """

    name: str
    label_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    site_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
    """The site number of each client: those sites that own training images, ascending."""
    sites: np.ndarray = np.unique(train.sites[train.sites >= 0])
    return sites


def owners(split: Split) -> tuple[np.ndarray, ...]:
    """For each client the indices of its images, clients in the order of their site numbers.

    Images of nobody (-1) are left out.
    """
    return tuple(np.flatnonzero(split.sites == site) for site in client_sites(split))
