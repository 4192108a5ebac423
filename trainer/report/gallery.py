"""What --explain writes: a folder for each image, and index.html, which shows them all.

DIR/
  index.html                  pictures, heat maps, conditions; opens in a browser, needs no network
  00001-NAME/
    picture.png               the image, at most 768 pixels long
    01-LABEL.png …            where the label was found, the most probable label first
    explanation.json          the same as numbers
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from PIL import Image

from fedmpt.common.words import printable
from trainer.errors import TrainerError
from trainer.inference.explanation import Explanation
from trainer.inference.model import Model
from trainer.report.templates import page_environment

LONGEST = 768
"""Pixels of a picture's longer side, at most."""


class Gallery:
    """A folder of explained images; used with `with`. Nothing of an image is kept in memory once it is written.

    Args:
        folder: the new folder.
        model: what explains the images, for the page's head.
        threshold: labels above it count as present.

    Raises:
        TrainerError: a folder that holds something.
    """

    def __init__(self, folder: Path, model: Model, threshold: float) -> None:
        check_free(folder)
        self.folder, self.model, self.threshold = folder, model, threshold
        self.count = 0
        self.templates = page_environment()

    def __enter__(self) -> Gallery:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.page: IO[str] = (self.folder / "index.html").open("w", encoding="utf-8")
        head = self.templates.get_template("gallery_head.html.j2")
        self.page.write(head.render(source=self.model.source, threshold=self.threshold))
        return self

    def __exit__(self, *_: object) -> None:
        self.page.write("</body>\n</html>\n")
        self.page.close()

    def add(self, path: Path, explanation: Explanation) -> Path:
        """Write an image's files and its part of the page. No label or file name steers where.

        Returns:
            The image's folder.
        """
        self.count += 1
        into = self.folder / f"{self.count:05d}-{slug(path.stem)}"
        into.mkdir()
        _shrunk(explanation.image).save(into / "picture.png")
        files = []
        for number, found in enumerate(explanation.labels, 1):
            drawn = explanation.heat_map(found.label, LONGEST)
            name = None if drawn is None else f"{number:02d}-{slug(found.label)}.png"
            if drawn is not None:
                drawn.save(into / str(name))
            files.append(name)
        described = {"image": str(path), **explanation.to_dict()}
        for row, name in zip(described["labels"], files, strict=True):
            row["heat_map"] = name
        (into / "explanation.json").write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
        part = self.templates.get_template("gallery_image.html.j2")
        self.page.write(
            part.render(
                name=printable(str(path)),
                folder=into.name,
                first=self.count == 1,
                explanation=explanation,
                gate=sorted((explanation.gate or {}).items(), key=lambda item: -item[1]),
                labels=list(zip(explanation.labels, files, strict=True)),
                threshold=self.threshold,
            )
        )
        return into


def check_free(folder: Path) -> None:
    """Whether a folder can be filled.

    Raises:
        TrainerError: where it holds something, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrainerError(f"{folder}: there is something already; choose another folder")


def slug(text: str) -> str:
    """Letters, digits and hyphens of a text, at most 40; a file name on every system."""
    kept = "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in text.lower())
    return "-".join(part for part in kept.split("-") if part)[:40] or "x"


def _shrunk(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((LONGEST, LONGEST))
    return copy
