"""Draws docs/explain.png: `python docs/explain_sheet.py RUN`, two test pictures of the drawn world explained.

Needs Chromium and playwright, as the tests of the report do.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from trainer.config.data import DataConfig
from trainer.data.registry import load_dataset

SHOWN = (26, 32)
"""Test pictures of the default world."""

WIDTH, COLOURS = 900, 200


def main(run: str) -> None:
    """Write the picture beside this file, with few colours so that it stays small."""
    images = load_dataset(DataConfig()).test
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"test-{index}.png" for index in SHOWN]
        for index, path in zip(SHOWN, paths, strict=True):
            images.image(index).save(path)
        words = ["predict", str(Path(run).resolve()), *(path.name for path in paths), "--explain", "why"]
        subprocess.run([sys.executable, "-m", "fedmpt", *words], cwd=folder, check=True)
        with sync_playwright() as playwright:
            found = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": WIDTH, "height": 400}, color_scheme="light")
            page.goto((Path(folder) / "why" / "index.html").as_uri())
            picture = page.screenshot(full_page=True)
            browser.close()
    out = Path(__file__).with_name("explain.png")
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
