"""Draws docs/try.png, the page of `fedmpt try` with two test pictures of `scenes`: `python docs/try_sheet.py RUN`.

Needs Chromium and playwright, as the tests of the page do.
"""

from __future__ import annotations

import io
import re
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

WIDTH, HEIGHT, COLOURS = 1200, 670, 256


def main(run: str) -> None:
    """Write the picture beside this file, with few colours so that it stays small."""
    images = load_dataset(DataConfig()).test
    command = [sys.executable, "-u", "-m", "fedmpt", "try", run, "--no-open"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        paths = [Path(folder) / f"test-{index}.png" for index in SHOWN]
        for index, path in zip(SHOWN, paths, strict=True):
            images.image(index).save(path)
        address = next(filter(None, (re.search(r"http\S+", line) for line in server.stdout or ())))[0]
        found = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(address)
        page.wait_for_selector("body.ready")
        page.set_input_files("#files", paths)
        page.locator(".card .why").nth(len(paths) - 1).wait_for()
        page.locator(".card").first.locator("button.label.found").last.click()
        page.mouse.move(0, 0)
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        picture = page.screenshot()
        browser.close()
    server.terminate()
    server.wait()
    out = Path(__file__).with_name("try.png")
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
