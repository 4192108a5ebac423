"""Draws docs/scenes.png: `python docs/scenes_sheet.py`. Left, five images of each training site; right, test images."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

from trainer.config.data import DataConfig
from trainer.data.registry import load_dataset

SIDE, GAP, TITLE, COLUMNS = 112, 4, 22, 5


def main() -> None:
    """Write the sheet beside this file."""
    settings = DataConfig()
    data = load_dataset(settings)
    half = COLUMNS * (SIDE + GAP)
    sheet = Image.new("RGB", (2 * half + 24, TITLE + settings.sites * (SIDE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((4, 5), "training: one site a row, with its light, scenes and tied labels", fill="black")
    draw.text((half + 28, 5), "test: nothing is tied", fill="black")
    for row in range(settings.sites):
        for column in range(COLUMNS):
            top = TITLE + row * (SIDE + GAP)
            own = data.train.image(row * settings.images_per_site + column)
            free = data.test.image(row * COLUMNS + column)
            sheet.paste(own.resize((SIDE, SIDE)), (column * (SIDE + GAP), top))
            sheet.paste(free.resize((SIDE, SIDE)), (half + 24 + column * (SIDE + GAP), top))
    # A palette takes a fifth of the space and looks nearly the same.
    sheet.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        Path(__file__).with_name("scenes.png"), optimize=True
    )


if __name__ == "__main__":
    main()
