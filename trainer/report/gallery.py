"""The output of --explain: a folder for each image, and an index.html that shows all of them.

DIR/
  index.html                  images, heat maps, conditions; works offline
  00001-NAME/
    picture.png               the image, at most 768 pixels long
    01-LABEL.png …            heat maps, the most probable label first
    explanation.json          the explanation as numbers
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from PIL import Image

from fedmpt.common.words import path_text, printable
from trainer.errors import TrainerError
from trainer.inference.explanation import Explanation
from trainer.inference.model import Model
from trainer.report.templates import page_environment

LONGEST = 768
"""Maximum length of an image's longer side in pixels."""


class Gallery:
    """A folder of explained images; a context manager. Images are written immediately and not kept in memory.

    Args:
        folder: the new folder.
        model: the explained model, for the page's header.
        threshold: labels with a larger probability count as present.

    Raises:
        TrainerError: a folder that is not empty.
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
        """Write an image's files and its section of the page. Labels and file names cannot influence the location.

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
        described = {"image": path_text(path), **explanation.to_dict()}
        for row, name in zip(described["labels"], files, strict=True):
            row["heat_map"] = name
        (into / "explanation.json").write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", "utf-8")
        part = self.templates.get_template("gallery_image.html.j2")
        self.page.write(
            part.render(
                name=printable(path_text(path)),
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
    """Check that a folder is empty or does not exist.

    Raises:
        TrainerError: it is not empty, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TrainerError(f"{folder}: there is something already; choose another folder")


def slug(text: str) -> str:
    """A text as a portable file name: at most 40 ASCII letters, digits and hyphens."""
    kept = "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in text.lower())
    return "-".join(part for part in kept.split("-") if part)[:40] or "x"


def _shrunk(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.thumbnail((LONGEST, LONGEST))
    return copy
