"""Heat maps of patch weights over an image."""

from __future__ import annotations

import numpy as np
from PIL import Image

Window = tuple[float, float, float, float]
"""Left, top, width and height of a part of an image, as fractions of its sides."""

MAX_OPACITY = 0.75
"""Opacity of the overlay at the largest weight."""

MIN_OPACITY = 0.25
"""Opacity of the overlay at weight 0."""


def overlay(image: Image.Image, places: np.ndarray, window: Window, size: int = 768) -> Image.Image:
    """Overlay an image with a heat map of patch weights; brighter means larger.

    Outside the square that the model sees, the image is dimmed.

    Args:
        image: the whole image.
        places: (rows, columns) non-negative patch weights of that square.
        window: where it lies, see `Preprocess.window`.
        size: maximum length of the result's longer side; smaller images are enlarged up to half of it.
    """
    scale = size / max(image.size)
    if scale > 1:
        scale = max(1.0, size / 2 / max(image.size))
    shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    below = image.convert("RGBA").resize(shape, Image.Resampling.BICUBIC)
    dimmed = Image.new("RGBA", shape, (0, 0, 0, round(255 * MAX_OPACITY)))
    left, top, width, height = (share * shape[i % 2] for i, share in enumerate(window))
    covered = (max(1, round(width)), max(1, round(height)))
    dimmed.paste(layer(places).resize(covered, Image.Resampling.BICUBIC), (round(left), round(top)))
    return Image.alpha_composite(below, dimmed).convert("RGB")


def layer(places: np.ndarray) -> Image.Image:
    """The heat map as a translucent image with one pixel per patch, to be enlarged with interpolation."""
    from matplotlib import colormaps

    strength = np.asarray(places, np.float64) / max(float(places.max()), 1e-12)
    colours = colormaps["inferno"](strength)
    colours[..., 3] = MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * strength
    return Image.fromarray((255 * colours).round().astype(np.uint8), "RGBA")
