"""Data sets of Hugging Face `datasets`: a folder, or a name on the hub. See `trainer.data.hub_dataset`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedmpt.common.foreign_json import read_json
from trainer.config.data import DataConfig
from trainer.data.assembly import Listing, RequiredPath
from trainer.data.hub_dataset import NAMES, TABLE, write_folder
from trainer.data.sets.table import to_listing
from trainer.data.sets.table_rows import read_jsonl
from trainer.errors import TrainerError

PAGE = "https://huggingface.co/datasets"
REQUIRED: tuple[RequiredPath, ...] = ()
DEFAULTS: dict[str, dict[str, Any]] = {variant: {"min_labels": 0} for variant in ("clean", "released")}


def locate(settings: DataConfig, cache: Path | None, progress: Callable[[int, int], None]) -> Path:
    """The folder that the data set is written to as files.

    Raises:
        TrainerError, RunFailed: see `write_folder`.
    """
    if settings.data_root is None:
        raise TrainerError("hf needs --data-root: a folder, or OWNER/NAME on the hub")
    if cache is None:
        raise TrainerError("hf needs a cache folder, to which it writes the images")
    return write_folder(settings.data_root, settings.hf, cache, progress)


def read_listing(root: Path, settings: DataConfig) -> Listing:
    """The images in the folder; without a split `test`, test images are sampled by data.seed.

    Raises:
        TrainerError: labels or splits that cannot be used.
    """
    read = read_jsonl(root / TABLE)
    read.names = tuple(str(name) for name in read_json(root / NAMES))
    return to_listing(root, root / TABLE, read, settings)
