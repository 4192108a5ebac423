"""Simulate partial annotation by masking training labels (METHOD.md §6). Shape letters: n images, C labels."""

from __future__ import annotations

import numpy as np

from trainer.config.data import MaskConfig
from trainer.data.base import UNKNOWN
from trainer.seeding import numpy_generator


def masked(labels: np.ndarray, ids: tuple[str, ...], settings: MaskConfig, becomes: int = UNKNOWN) -> np.ndarray:
    """The labels after masking each with probability `rate`.

    Masks depend only on the seed and the image id, not on the partition or on other images. A higher rate masks a
    superset of the labels that a lower one masks.

    Args:
        labels: (n, C) int8; 1, 0, -1 unknown.
        ids: of the n images.
        settings: rate, seed, and which labels can be masked.
        becomes: the value of masked labels, -1 (unknown) or 0.

    Returns:
        (n, C) int8.
    """
    if not settings.rate:
        return labels
    drawn = np.stack([numpy_generator(settings.seed, "mask", id_).random(labels.shape[1]) for id_ in ids])
    known = labels == 1 if settings.of == "positive" else labels >= 0
    return np.where(known & (drawn < settings.rate), np.int8(becomes), labels)
