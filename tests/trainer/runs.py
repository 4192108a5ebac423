"""Trained runs on a small drawn world with the shipped scenes-tiny, and pictures for them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.trainer.tiny import small_bank
from trainer.data.scenes import World
from trainer.data.scenes.objects import CLASSES
from trainer.evaluation.measuring import evaluate
from trainer.preparing import prepare
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.train import train

SMALL = {
    "data.sites": 2,
    "data.images_per_site": 12,
    "data.validation_images": 30,
    "data.test_images": 30,
    "federation.rounds": 2,
    "optimiser.batch_size": 6,
    "evaluation.bootstrap": 20,
}


def trained_run(folder: Path, cache: Path, **settings: object) -> Run:
    """A run that was trained and evaluated; keywords are settings, with __ for the dot."""
    config = resolve(overrides={**SMALL, **{key.replace("__", "."): value for key, value in settings.items()}})
    bank = small_bank(labels=CLASSES, values=("street", "park"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / "bank.json"
    path.write_text(bank.model_dump_json(by_alias=True), encoding="utf-8")
    run = Run.create(folder, config, path if config.method.name in ("fedmpt", "fedmvp-attributes") else None)
    ready = prepare(config, bank, cache)
    train(run, ready)
    evaluate(run, ready)
    return run


def pictures(folder: Path, count: int = 3) -> list[Path]:
    """Test images of the small world as PNG files."""
    world = World(0, 2, 12, 0.9, 0.6)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo-{index}.png" for index in range(count)]
    for index, path in enumerate(paths):
        world.picture("test", index).image().save(path)
    return paths


def wide(path: Path, picture: Path) -> Path:
    """The picture in the middle of a canvas three times as wide."""
    with Image.open(picture) as opened:
        canvas = Image.new("RGB", (3 * opened.width, opened.height), (40, 90, 40))
        canvas.paste(opened, (opened.width, 0))
    canvas.save(path)
    return path
