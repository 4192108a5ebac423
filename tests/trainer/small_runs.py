"""Fast runs on a small drawn world with the random CLIP."""

from __future__ import annotations

from pathlib import Path

from tests.trainer.tiny import random_clip, small_bank
from trainer.data.registry import load_dataset
from trainer.preparing import Prepared, Reporter, assemble
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.run_config import RunConfig

SMALL = {
    "data.sites": 2,
    "data.images_per_site": 12,
    "data.validation_images": 30,
    "data.test_images": 40,
    "federation.rounds": 4,
    "optimiser.batch_size": 5,
    "method.rank": 4,
}
CLIP = random_clip()


def prepared(config: RunConfig, cache: Path) -> Prepared:
    """As `trainer.preparing.prepare`, on the random CLIP."""
    dataset = load_dataset(config.data)
    return assemble(config, dataset, CLIP, small_bank(labels=dataset.label_names), cache, Reporter())


def new_run(folder: Path, **settings: object) -> tuple[Run, RunConfig]:
    """A run that has not begun; keywords are settings, with __ for the dot."""
    chosen = {key.replace("__", "."): value for key, value in settings.items()}
    shared = {key: value for key, value in SMALL.items() if not ("method.name" in chosen and key == "method.rank")}
    config = resolve(overrides={**shared, **chosen})
    return Run.create(folder, config, None), config


def contents(run: Run) -> dict[str, bytes]:
    """Every byte that a run that was cut off must reach as well."""
    kept = [*run.checkpoints().values(), run.folder / "metrics.jsonl", *sorted(run.clients.glob("*"))]
    return {path.name: path.read_bytes() for path in kept}
