"""Partial annotation: labels of training images that nobody annotated (METHOD.md §6). n images, C labels."""

from __future__ import annotations

import numpy as np

from trainer.config.data import MaskConfig
from trainer.data.base import UNKNOWN
from trainer.seeding import numpy_generator


def masked(labels: np.ndarray, ids: tuple[str, ...], settings: MaskConfig, becomes: int = UNKNOWN) -> np.ndarray:
    """The labels without those that are hidden, each with probability `rate`.

    What is hidden depends on the seed and the image's id alone, so an image keeps its labels whoever owns it and
    whichever other images there are; and a higher rate hides the same ones and more.

    Args:
        labels: (n, C) int8; 1, 0, -1 unknown.
        ids: of the n images.
        settings: rate, seed, and whether absent labels are hidden too.
        becomes: what a hidden label becomes, -1 (unknown) or 0.

    Returns:
        (n, C) int8.
    """
    if not settings.rate:
        return labels
    drawn = np.stack([numpy_generator(settings.seed, "mask", id_).random(labels.shape[1]) for id_ in ids])
    known = labels == 1 if settings.of == "positive" else labels >= 0
    return np.where(known & (drawn < settings.rate), np.int8(becomes), labels)
