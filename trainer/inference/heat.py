"""Heat maps of patch weights over an image."""

from __future__ import annotations

import numpy as np
from PIL import Image

MAX_OPACITY = 0.75
"""Opacity of the overlay at the largest weight."""

MIN_OPACITY = 0.25
"""Opacity of the overlay at weight 0."""


def overlay(image: Image.Image, places: np.ndarray, size: int = 768) -> Image.Image:
    """Overlay an image with a heat map of patch weights; brighter means larger.

    Outside the central square crop that the model sees, the image is dimmed.

    Args:
        image: the whole image.
        places: (rows, columns) non-negative patch weights of its central square crop.
        size: maximum length of the result's longer side; smaller images are enlarged up to half of it.
    """
    scale = size / max(image.size)
    if scale > 1:
        scale = max(1.0, size / 2 / max(image.size))
    shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    below = image.convert("RGBA").resize(shape, Image.Resampling.BICUBIC)
    dimmed = Image.new("RGBA", shape, (0, 0, 0, round(255 * MAX_OPACITY)))
    side = min(shape)
    corner = ((shape[0] - side) // 2, (shape[1] - side) // 2)
    dimmed.paste(layer(places).resize((side, side), Image.Resampling.BICUBIC), corner)
    return Image.alpha_composite(below, dimmed).convert("RGB")


def layer(places: np.ndarray) -> Image.Image:
    """The heat map as a translucent image with one pixel per patch, to be enlarged with interpolation."""
    from matplotlib import colormaps

    strength = np.asarray(places, np.float64) / max(float(places.max()), 1e-12)
    colours = colormaps["inferno"](strength)
    colours[..., 3] = MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * strength
    return Image.fromarray((255 * colours).round().astype(np.uint8), "RGBA")


def centred_square(width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of the central square crop, as fractions of the image's sides."""
    side = min(width, height)
    return (width - side) / 2 / width, (height - side) / 2 / height, side / width, side / height
