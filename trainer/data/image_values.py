"""Whether an image's numbers have a known range: more than 8 bits are read only if they use their range.

Pillow keeps the high byte of 16-bit colours and cuts off 32-bit integers at 255, so other data would turn black.
"""

from __future__ import annotations

from PIL import Image

BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339
"""TIFF's tags."""
UNSIGNED = 1
"""TIFF's SampleFormat of unsigned integers."""

LEAST_BRIGHT = 2**14
"""16-bit data whose brightest value is below has a range of its own: 12 or 14 bits, counts, reflectances."""


def depth(image: Image.Image) -> int:
    """Bits of each channel of an opened image, before its pixels are loaded."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return max((int(bits) for bits in tags.get(BITS_PER_SAMPLE, (1,))), default=1)
    if image.mode in ("I", "F"):
        return 16 if image.format in ("PNG", "PPM") and image.mode == "I" else 32
    tiles = getattr(image, "tile", [])
    raw = str(tiles[0].args) if tiles else ""
    return 16 if image.mode.startswith("I;16") or ";16" in raw else 8


def check_values(image: Image.Image, bits: int) -> str | None:
    """Why the values of a loaded image cannot be read rightly; None if they can.

    Args:
        image: as Pillow decoded it.
        bits: its depth.
    """
    if image.mode == "F":
        return "floating-point pixels have no agreed range; save the image with 8 bits"
    tags = getattr(image, "tag_v2", None)
    formats = tags.get(SAMPLE_FORMAT) if tags is not None else None
    if bits > 16:
        return f"{bits}-bit integers have no agreed range; save the image with 8 bits"
    if any(form != UNSIGNED for form in formats or ()) and bits > 8:
        return "signed pixels have no agreed range; save the image with 8 bits"
    if bits <= 8:
        return None
    brightest = _brightest(image)
    if brightest is None or brightest >= LEAST_BRIGHT:
        return None
    return (
        f"its 16-bit values end near {brightest:,} of 65,535, so they have a range of their own (12 bits, "
        "reflectances) and would be read as nearly black; scale the image to 8 bits and save it"
    )


def _brightest(image: Image.Image) -> int | None:
    """The largest 16-bit value over the colour channels; None if the image is black."""
    if image.mode.startswith("I"):
        _, high = image.convert("I").getextrema()
        return int(high) or None  # type: ignore[arg-type]
    colours = [band for band in image.getbands() if band not in ("A", "a", "X")]
    # Pillow kept the high bytes, so black may have been any value below 256.
    return max(int(image.getchannel(band).getextrema()[1]) for band in colours) * 256 + 255  # type: ignore[arg-type]
