"""Counts how often labels occur together in annotated images. C labels, N images."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import accumulate
from itertools import combinations as subsets
from pathlib import Path

from fedmpt.common.annotations import CLASS_LISTS, Annotations
from fedmpt.common.errors import InputFileError
from fedmpt.common.words import fold, fold_loosely
from prompt_bank.dependencies.counts import Counts, read_counts
from prompt_bank.schema import Label

MAX_LISTED = 8
"""The most names that a warning lists."""


@dataclass(frozen=True)
class Cooccurrence:
    """Counts over the images that have at least one of the labels.

    Attributes:
        source: name of the annotation file or folder.
        sha256: hash of its content.
        images: N.
        label_counts: (C,) the number of images with each label.
        pair_counts: the number of images with both labels of a pair (a < b); pairs that never occur are left out.
        warnings: annotated names that match no label, and labels without images.
    """

    source: str
    sha256: str
    images: int
    label_counts: tuple[int, ...]
    pair_counts: dict[tuple[int, int], int]
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def seen_with(self, label: int, count: int, rng: random.Random) -> list[int]:
        """Labels that co-occur with this one, drawn with replacement in proportion to their counts."""
        others, weights = self._neighbours.get(label, ([], []))
        return rng.choices(others, cum_weights=weights, k=count) if others else []

    @cached_property
    def _neighbours(self) -> dict[int, tuple[list[int], list[int]]]:
        """For each label the labels that co-occur with it, and their cumulative counts."""
        found: dict[int, list[tuple[int, int]]] = {}
        for (a, b), count in sorted(self.pair_counts.items()):
            found.setdefault(a, []).append((b, count))
            found.setdefault(b, []).append((a, count))
        return {
            label: ([other for other, _ in seen], list(accumulate(count for _, count in seen)))
            for label, seen in found.items()
        }


def read_cooccurrence(path: Path, labels: tuple[Label, ...]) -> Cooccurrence:
    """Count labels and label pairs in annotations. Annotated names are matched to label names and aliases.

    Args:
        path: a file or folder that `Annotations.detect` recognises, or a table that `counts.read_counts` reads.
        labels: C labels.

    Raises:
        InputFileError: the annotations cannot be read, or no image has two of the labels.
    """
    annotations = Annotations.detect(path)
    match = label_matcher(labels)
    if annotations.format == CLASS_LISTS and (table := read_counts(path)):
        return _from_table(table, path, labels, match)
    shown: dict[str | int, int] = {}
    """For each image the set of its labels, as a bit mask."""
    unmatched: dict[str, None] = {}
    for image, name in annotations.pairs():
        index = match(name)
        if index is None:
            unmatched[name] = None
        else:
            shown[image] = shown.get(image, 0) | 1 << index
    label_counts: Counter[int] = Counter()
    pair_counts: Counter[tuple[int, int]] = Counter()
    for bits, images in Counter(shown.values()).items():
        together = list(_set_bits(bits))
        for label in together:
            label_counts[label] += images
        for pair in subsets(together, 2):
            pair_counts[pair] += images
    counts = tuple(label_counts[i] for i in range(len(labels)))
    warnings = _warnings(path, labels, counts, pair_counts, unmatched)
    return Cooccurrence(path.name, _sha256(annotations.files), len(shown), counts, dict(pair_counts), warnings)


def _from_table(
    table: Counts, path: Path, labels: tuple[Label, ...], match: Callable[[str], int | None]
) -> Cooccurrence:
    """The counts of the labels in a table, which may have further labels and another order."""
    rows: dict[int, int] = {}
    unmatched: dict[str, None] = {}
    duplicates: list[str] = []
    for row, name in enumerate(table.names):
        index = match(name)
        if index is None:
            unmatched[name] = None
        elif rows.setdefault(index, row) != row:
            first = table.names[rows[index]]
            duplicates.append(
                f"{path}: '{name}' and '{first}' are the same label in the bank; the counts of '{first}' are used"
            )
    counts = tuple(table.together[rows[i]][rows[i]] if i in rows else 0 for i in range(len(labels)))
    pair_counts = {(a, b): count for a, b in subsets(sorted(rows), 2) if (count := table.together[rows[a]][rows[b]])}
    warnings = (*duplicates, *_warnings(path, labels, counts, pair_counts, unmatched))
    return Cooccurrence(path.name, _sha256((path,)), table.images, counts, pair_counts, warnings)


def _warnings(
    path: Path,
    labels: tuple[Label, ...],
    label_counts: tuple[int, ...],
    pair_counts: Mapping[tuple[int, int], int],
    unmatched: dict[str, None],
) -> tuple[str, ...]:
    """Warnings about annotated names that match no label, and labels without images.

    Raises:
        InputFileError: no image has two of the labels.
    """
    if not pair_counts:
        seen = f"; its names are {_listed(unmatched)}" if unmatched else ""
        raise InputFileError(f"{path}: no image shows two of the labels{seen}")
    warnings = []
    if unmatched:
        warnings.append(f"{path}: no label is called {_listed(unmatched)}")
    if absent := {label.name: None for label, count in zip(labels, label_counts, strict=True) if not count}:
        warnings.append(f"{path}: no image shows {_listed(absent)}")
    return tuple(warnings)


def provenance(observed: Cooccurrence | None) -> dict[str, dict[str, str]]:
    """The part of a bank's provenance about the annotations: file name and hash."""
    return {"cooccurrence": {"file": observed.source, "sha256": observed.sha256}} if observed else {}


def label_matcher(labels: Sequence[Label]) -> Callable[[str], int | None]:
    """A cached function from an annotated name to the index of its label, None if there is none."""
    exact: dict[str, int] = {}
    nearly: dict[str, int | None] = {}
    for index, label in enumerate(labels):
        for name in (label.name, *label.aliases):
            exact.setdefault(fold(name), index)
            if nearly.setdefault(fold_loosely(name), index) != index:
                nearly[fold_loosely(name)] = None  # ambiguous: only an exact name selects one of these labels
    return cache(lambda name: exact.get(fold(name), nearly.get(fold_loosely(name))))


def _set_bits(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _listed(names: dict[str, None]) -> str:
    first = ", ".join(repr(name) for name in list(names)[:MAX_LISTED])
    more = len(names) - MAX_LISTED
    return f"{first} and {more} more" if more > 0 else first


def _sha256(files: tuple[Path, ...]) -> str:
    """Hash of the file; of several files, hash of their names and hashes, in order."""
    hashes = []
    for file in files:
        with file.open("rb") as content:
            hashes.append(hashlib.file_digest(content, "sha256").hexdigest())
    if len(files) == 1:
        return "sha256:" + hashes[0]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(hashes, files, strict=True))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
