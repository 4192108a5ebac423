"""Drawing validation and test images at random, such that small parts lack no label. n images, C labels."""

from __future__ import annotations

import numpy as np


def draw_images(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of `count` images drawn at random; stratified by label if a plain draw leaves a label on one side only.

    Args:
        labels: (n, C); 1 present, other values not.
        count: of images to draw.
        generator: for the draw.

    Returns:
        (count,) int64, ascending.
    """
    present = labels == 1
    order = generator.permutation(len(present))
    drawn = np.zeros(len(present), bool)
    drawn[order[:count]] = True
    if not _is_covered(present, drawn):
        drawn = _stratified(present, count, order)
    return np.flatnonzero(drawn)


def _is_covered(present: np.ndarray, drawn: np.ndarray) -> bool:
    """Whether each label with two or more images has one among the drawn and one among the others."""
    frequent = present.sum(0) > 1
    return bool((present[drawn].any(0) & present[~drawn].any(0))[frequent].all())


def _stratified(present: np.ndarray, count: int, order: np.ndarray) -> np.ndarray:
    """(n,) bool, iterative stratification into two parts (Sechidis et al., ECML 2011, Algorithm 1).

    Unlike there, each label with two or more images is wanted at least once in each part.
    """
    images = len(present)
    totals = present.sum(0).astype(float)
    share = count / max(images, 1)
    wanted = np.where(totals > 1, np.clip(share * totals, 1, np.maximum(totals - 1, 1)), share * totals)
    wants = np.stack([totals - wanted, wanted])  # (2, C): of the others, of the drawn
    room = np.array([images - count, count])
    part = np.full(images, -1)
    for image in _rarest_first(present, order):
        rarest = np.flatnonzero(present[image])[np.argmin(totals[present[image]])]
        chosen = max((0, 1), key=lambda side: (room[side] > 0, wants[side, rarest], room[side]))
        part[image] = chosen
        wants[chosen] -= present[image]
        room[chosen] -= 1
    rest = [image for image in order if part[image] < 0]
    part[rest[: room[1]]] = 1
    return part == 1


def _rarest_first(present: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The images with labels in random order, those of the rarest label first, then those of the next."""
    totals = np.where(present, present.sum(0), len(present) + 1).min(1, initial=len(present) + 1)
    ordered = order[np.argsort(totals[order], kind="stable")]
    labelled: np.ndarray = ordered[present[ordered].any(1)]
    return labelled
