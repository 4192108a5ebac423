"""How fast the page of `fedmpt try` answers pictures.

    python benchmarks/try_page.py [RUN] [--pictures 30] [--repeats 5]

Starts `fedmpt try` on a run (without one, trains a small one on scenes-tiny) and sends pictures of the synthetic data
set as the page does: one alone, then all, two at a time. First as they are (96 pixels), then enlarged to JPEG files of
12 megapixels, as a phone takes them. Times are from sending the file to the whole answer; processor time is the
server's. With Chromium, also the time from choosing the files until all cards are drawn. Prints Markdown; exit code 1
if a goal is missed, which is measured on the pictures as they are: the first answer within 0.3 s, all cards within 5 s.
"""

from __future__ import annotations

import argparse
import http.client
import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import prompt_bank
from trainer.config.data import DataConfig
from trainer.data.scenes import World

FIRST_GOAL = 0.3
"""Seconds until the first picture's answer."""
ALL_GOAL = 5.0
"""Seconds until all cards are drawn."""
AT_ONCE = 2
"""Requests at the same time, as the page sends them."""
LARGE = (4000, 3000)
"""Size of a phone's picture."""
SMALL = {"data.sites": 2, "data.images_per_site": 8, "data.validation_images": 16, "data.test_images": 16}
"""Settings of a small run; the time of an answer does not depend on the training data."""


@dataclass
class Server:
    """A running `fedmpt try`."""

    process: subprocess.Popen[str]
    url: str
    port: int
    token: str

    def answer(self, body: bytes) -> float:
        """Seconds until a picture is answered.

        Raises:
            RuntimeError: it is not.
        """
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {"Authorization": f"Bearer {self.token}", "Origin": f"http://127.0.0.1:{self.port}"}
        connection.request("POST", "/api/picture", body, headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {content.decode()}")
        return time.perf_counter() - start

    def processor_seconds(self) -> float:
        """User and system time of the process so far (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def running(run: Path) -> Iterator[Server]:
    """The command's process, once it has printed its address."""
    command = [sys.executable, "-u", "-m", "fedmpt", "try", str(run), "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/#(\S+)", line):
                yield Server(process, found[0], int(found[1]), found[2])
                return
        raise RuntimeError("fedmpt try printed no address")
    finally:
        process.terminate()
        process.wait()


def small_run(folder: Path) -> Path:
    """A new run of one round in a folder."""
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    bank = str(Path(prompt_bank.__path__[0]) / "banks" / "scenes24.json")
    words = ["train", "--bank", bank, "--rounds", "1", "--out", "run", "--cache-dir", "cache", *settings]
    subprocess.run([sys.executable, "-m", "fedmpt", *words], cwd=folder, check=True, capture_output=True)
    return folder / "run"


def pictures(count: int) -> dict[str, list[bytes]]:
    """Files of test pictures, as they are and enlarged."""
    data = DataConfig()
    world = World(data.seed, data.sites, data.images_per_site, data.strength, data.shift)
    images = [world.picture("test", index).image() for index in range(count)]
    large = [image.resize(LARGE, Image.Resampling.BILINEAR) for image in images]
    return {
        "96 × 96 pixels": [_file(image, "PNG") for image in images],
        "12 megapixels": [_file(image, "JPEG") for image in large],
    }


def _file(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def in_browser(server: Server, files: list[bytes]) -> float | None:
    """Seconds from choosing the files until all cards are drawn; None without Chromium or Playwright."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if found is None:
        return None
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.img" for number in range(len(files))]
        for path, body in zip(paths, files, strict=True):
            path.write_bytes(body)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_selector("body.ready")
        start = time.perf_counter()
        page.set_input_files("#files", paths)
        page.locator(".card .why").nth(len(files) - 1).wait_for(timeout=120_000)
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


def measure(run: Path, files: list[bytes], repeats: int) -> tuple[float, float, float, float, float | None]:
    """Seconds of a new server: first answer, median of one alone, all, processor time per picture; and `in_browser`."""
    with running(run) as server:
        first = server.answer(files[0])
        alone = sorted(server.answer(body) for body in files)[len(files) // 2]
        totals = []
        before = server.processor_seconds()
        for _ in range(repeats):
            start = time.perf_counter()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(server.answer, files))
            totals.append(time.perf_counter() - start)
        processor = (server.processor_seconds() - before) / repeats / len(files)
        return first, alone, min(totals), processor, in_browser(server, files)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as name:
        run = options.run or small_run(Path(name))
        print(f"{options.pictures} pictures; seconds; all: the fastest of {options.repeats}\n")
        print("| pictures | first | median alone | all | processor per picture | all cards in Chromium |")
        print("|---|---:|---:|---:|---:|---:|")
        for number, (kind, files) in enumerate(pictures(options.pictures).items()):
            first, alone, total, processor, drawn = measure(run, files, options.repeats)
            shown = "–" if drawn is None else f"{drawn:.2f}"
            print(f"| {kind} | {first:.3f} | {alone:.3f} | {total:.2f} | {processor:.3f} | {shown} |")
            if number == 0:
                missed = first > FIRST_GOAL or (total if drawn is None else drawn) > ALL_GOAL
    if missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
