"""How often labels occur together in somebody's images. C labels, N images."""

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

from fedmpt.common.annotations import LISTS, Annotations
from fedmpt.common.errors import InputFileError
from fedmpt.common.words import fold, near
from prompt_bank.dependencies.counts import Counts, read_counts
from prompt_bank.schema import Label

LISTED = 8
"""Names that a warning lists at the most."""


@dataclass(frozen=True)
class Cooccurrence:
    """Counts over the images that show one of the labels or more.

    Attributes:
        source: the file's name.
        sha256: of its content.
        images: N.
        of_label: for each label how many images show it, in the order of the labels.
        of_pair: for a pair of labels (a < b) how many images show both; pairs never seen together are left out.
        warnings: names that fit no label, and labels that no image shows.
    """

    source: str
    sha256: str
    images: int
    of_label: tuple[int, ...]
    of_pair: dict[tuple[int, int], int]
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def seen_with(self, label: int, count: int, rng: random.Random) -> list[int]:
        """Labels that were seen with this one, drawn in proportion to how often, with replacement."""
        others, weights = self._neighbours.get(label, ([], []))
        return rng.choices(others, cum_weights=weights, k=count) if others else []

    @cached_property
    def _neighbours(self) -> dict[int, tuple[list[int], list[int]]]:
        """For each label the others that were seen with it, and their counts added up."""
        found: dict[int, list[tuple[int, int]]] = {}
        for (a, b), count in sorted(self.of_pair.items()):
            found.setdefault(a, []).append((b, count))
            found.setdefault(b, []).append((a, count))
        return {
            label: ([other for other, _ in seen], list(accumulate(count for _, count in seen)))
            for label, seen in found.items()
        }


def read_cooccurrence(path: Path, labels: tuple[Label, ...]) -> Cooccurrence:
    """Count the labels of annotated images; names are matched to label names and aliases.

    Args:
        path: anything that `annotations.Annotations` reads, or a table of counts as `counts.read_counts` does.
        labels: C labels.

    Raises:
        InputFileError: the file cannot be read, or no two labels occur together in it.
    """
    annotated = Annotations.of(path)
    match = matching(labels)
    if annotated.format == LISTS and (table := read_counts(path)):
        return _taken(table, path, labels, match)
    shown: dict[str | int, int] = {}
    """For each image the set of its labels, as the bits of a number."""
    unmatched: dict[str, None] = {}
    for image, name in annotated.shown():
        index = match(name)
        if index is None:
            unmatched[name] = None
        else:
            shown[image] = shown.get(image, 0) | 1 << index
    of_label: Counter[int] = Counter()
    of_pair: Counter[tuple[int, int]] = Counter()
    for bits, images in Counter(shown.values()).items():
        together = list(_members(bits))
        for label in together:
            of_label[label] += images
        for pair in subsets(together, 2):
            of_pair[pair] += images
    counts = tuple(of_label[i] for i in range(len(labels)))
    warnings = _doubts(path, labels, counts, of_pair, unmatched)
    return Cooccurrence(path.name, _sha256(annotated.files), len(shown), counts, dict(of_pair), warnings)


def _taken(table: Counts, path: Path, labels: tuple[Label, ...], match: Callable[[str], int | None]) -> Cooccurrence:
    """The counts of the labels, out of a table that may have others, too, in another order."""
    place: dict[int, int] = {}
    unmatched: dict[str, None] = {}
    twice: list[str] = []
    for at, name in enumerate(table.names):
        index = match(name)
        if index is None:
            unmatched[name] = None
        elif place.setdefault(index, at) != at:
            twice.append(f"{path}: '{name}' and '{table.names[place[index]]}' are one label here; the latter is taken")
    counts = tuple(table.together[place[i]][place[i]] if i in place else 0 for i in range(len(labels)))
    of_pair = {(a, b): count for a, b in subsets(sorted(place), 2) if (count := table.together[place[a]][place[b]])}
    warnings = _doubts(path, labels, counts, of_pair, unmatched)
    return Cooccurrence(path.name, _sha256((path,)), table.images, counts, of_pair, (*twice, *warnings))


def _doubts(
    path: Path,
    labels: tuple[Label, ...],
    of_label: tuple[int, ...],
    of_pair: Mapping[tuple[int, int], int],
    unmatched: dict[str, None],
) -> tuple[str, ...]:
    """Names that fit no label, and labels that no image shows.

    Raises:
        InputFileError: no image shows two of the labels.
    """
    if not of_pair:
        seen = f"; its names are {_listed(unmatched)}" if unmatched else ""
        raise InputFileError(f"{path}: no image shows two of the labels{seen}")
    warnings = []
    if unmatched:
        warnings.append(f"{path}: no label is called {_listed(unmatched)}")
    if absent := {label.name: None for label, count in zip(labels, of_label, strict=True) if not count}:
        warnings.append(f"{path}: no image shows {_listed(absent)}")
    return tuple(warnings)


def recorded(observed: Cooccurrence | None) -> dict[str, dict[str, str]]:
    """What a bank's provenance says of it: the file's name and hash."""
    return {"cooccurrence": {"file": observed.source, "sha256": observed.sha256}} if observed else {}


def matching(labels: Sequence[Label]) -> Callable[[str], int | None]:
    """From a name to the index of its label; each name is looked at once."""
    exact: dict[str, int] = {}
    nearly: dict[str, int | None] = {}
    for index, label in enumerate(labels):
        for name in (label.name, *label.aliases):
            exact.setdefault(fold(name), index)
            if nearly.setdefault(near(name), index) != index:
                nearly[near(name)] = None  # two labels are that near: only exact names tell them apart
    return cache(lambda name: exact.get(fold(name), nearly.get(near(name))))


def _members(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _listed(names: dict[str, None]) -> str:
    first = ", ".join(repr(name) for name in list(names)[:LISTED])
    more = len(names) - LISTED
    return f"{first} and {more} more" if more > 0 else first


def _sha256(files: tuple[Path, ...]) -> str:
    """Of the file; of several, of their names and hashes in order."""
    hashes = []
    for file in files:
        with file.open("rb") as content:
            hashes.append(hashlib.file_digest(content, "sha256").hexdigest())
    if len(files) == 1:
        return "sha256:" + hashes[0]
    lines = "".join(f"{digest}  {file.name}\n" for digest, file in zip(hashes, files, strict=True))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()
