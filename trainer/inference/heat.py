"""Weights of patches as colours over a picture."""

from __future__ import annotations

import numpy as np
from PIL import Image

STRONGEST = 0.75
"""Opacity of the colour where the weight is largest, and …"""

FAINTEST = 0.25
"""… where there is none, so that the picture stays in sight."""


def overlay(image: Image.Image, places: np.ndarray, size: int = 768) -> Image.Image:
    """A picture with the weights of its patches laid over it: dark is little, bright is much.

    The model sees the centred square of a picture; what lies outside is dimmed.

    Args:
        image: the whole picture.
        places: (rows, columns) non-negative weights of the patches of its centred square.
        size: the longer side of the result, at most; a smaller picture is enlarged to half of it.
    """
    scale = size / max(image.size)
    if scale > 1:
        scale = max(1.0, size / 2 / max(image.size))
    shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    below = image.convert("RGBA").resize(shape, Image.Resampling.BICUBIC)
    dimmed = Image.new("RGBA", shape, (0, 0, 0, round(255 * STRONGEST)))
    side = min(shape)
    corner = ((shape[0] - side) // 2, (shape[1] - side) // 2)
    dimmed.paste(layer(places).resize((side, side), Image.Resampling.BICUBIC), corner)
    return Image.alpha_composite(below, dimmed).convert("RGB")


def layer(places: np.ndarray) -> Image.Image:
    """The weights as a translucent picture, a pixel a patch; it is meant to be enlarged smoothly."""
    from matplotlib import colormaps

    strength = np.asarray(places, np.float64) / max(float(places.max()), 1e-12)
    colours = colormaps["inferno"](strength)
    colours[..., 3] = FAINTEST + (STRONGEST - FAINTEST) * strength
    return Image.fromarray((255 * colours).round().astype(np.uint8), "RGBA")


def centred_square(width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of the square that the model sees, as shares of a picture's sides."""
    side = min(width, height)
    return (width - side) / 2 / width, (height - side) / 2 / height, side / width, side / height
