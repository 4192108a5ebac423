"""Draws scenes.png and scenes-natural.png, the variants of the drawn world: `python docs/scenes_sheet.py`.

Left, five images of each training site; right, test images.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from trainer.config.data import DataConfig, ScenesConfig
from trainer.data.registry import load_dataset

SIDE, GAP, TITLE, COLUMNS = 112, 4, 22, 5

TIED = ("training: one site a row, with its light, scenes and tied labels", "test: nothing is tied")
NATURAL = (
    "training: one site a row, with its places, its light and its tied labels",
    "test: all places alike, and a tenth of the objects out of place",
)


def main() -> None:
    """Write the sheets beside this file."""
    write("scenes.png", DataConfig(), *TIED)
    # The first images of the first site happen to be of another place than its main one, which would mislead.
    write("scenes-natural.png", DataConfig(scenes=ScenesConfig(variant="natural")), *NATURAL, first=5)


def write(name: str, settings: DataConfig, left: str, right: str, first: int = 0) -> None:
    """One variant's sheet, with a title over each half, from the sites' and the test split's `first` image on."""
    data = load_dataset(settings)
    half = COLUMNS * (SIDE + GAP)
    sheet = Image.new("RGB", (2 * half + 24, TITLE + settings.sites * (SIDE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 5), left, fill="black")
    draw.text((half + 28, 5), right, fill="black")
    for row in range(settings.sites):
        for column in range(COLUMNS):
            top = TITLE + row * (SIDE + GAP)
            own = data.train.image(row * settings.images_per_site + first + column)
            free = data.test.image(row * COLUMNS + first + column)
            sheet.paste(own.resize((SIDE, SIDE)), (column * (SIDE + GAP), top))
            sheet.paste(free.resize((SIDE, SIDE)), (half + 24 + column * (SIDE + GAP), top))
    # A palette takes a fifth of the space and looks nearly the same.
    sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        Path(__file__).with_name(name), optimize=True
    )


if __name__ == "__main__":
    main()
