"""The lights (including weather) of a scene, and the image corruption that comes with each of them.

Pictures are (H, W, 3) float32 arrays from 0 to 255.
"""

from __future__ import annotations

import numpy as np

LIGHTS = ("daylight", "night", "fog", "dusk", "rain")

NOISE = 4.0
"""Standard deviation of the sensor noise, in grey levels."""


def illuminate(picture: np.ndarray, light: str, rng: np.random.Generator) -> np.ndarray:
    """Apply a light to the scene, with sensor noise."""
    if light == "night":
        tint = np.array([0.34, 0.38, 0.60], np.float32) * rng.uniform(0.75, 1.1)
        picture = picture * tint + np.array([4, 6, 18], np.float32)
    elif light == "fog":
        share = rng.uniform(0.5, 0.68)
        picture = picture * (1 - share) + np.array([205, 208, 212], np.float32) * share
    elif light == "dusk":
        tint = np.array([1.0, 0.68, 0.5], np.float32) * rng.uniform(0.75, 1.0)
        picture = picture * tint + np.array([35, 5, 12], np.float32)
    elif light == "rain":
        picture = _streaks(picture * np.array([0.62, 0.68, 0.74], np.float32) + 22, rng)
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * NOISE
    return np.clip(picture + noise, 0, 255)


def corrupt(picture: np.ndarray, light: str, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Apply the camera artefact of a light, which pretraining never shows.

    Args:
        picture: (H, W, 3).
        light: one of `LIGHTS`.
        amount: strength, 0 (none) to 1.
        rng: the image's generator.
    """
    if amount == 0:
        return picture
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    if light == "night":
        picture = picture * (1 - 0.45 * amount) + 10 * amount * noise
    elif light == "fog":
        picture = picture * (1 - 0.5 * amount) + 0.5 * amount * np.array([215, 210, 190], np.float32)
    elif light == "dusk":
        picture = picture[..., [2, 0, 1]] * amount + picture * (1 - amount)
    elif light == "rain":
        from scipy.ndimage import gaussian_filter  # imported here, since runs on cached features don't need it

        blur = 1.6 * amount * len(picture) / 96
        picture = gaussian_filter(picture, (blur, blur, 0)) + 8 * amount * noise
    else:
        picture = (picture - 128) * (1 + 0.8 * amount) + 128 + 22 * amount
    return np.clip(picture, 0, 255)


def _streaks(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = len(picture)
    for _ in range(36):
        length = int(rng.integers(size // 30, size // 15))
        x, y = int(rng.integers(length, size)), int(rng.integers(0, size - length))
        steps = np.arange(length)
        picture[y + steps, x - steps // 2] = picture[y + steps, x - steps // 2] * 0.45 + 115
    return picture
