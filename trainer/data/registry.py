"""The registry of data sets by name, and loading them with partition and label masks."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from trainer.config.data import DataConfig, HfConfig, ScenesConfig, TableConfig
from trainer.data.assembly import assemble, with_defaults
from trainer.data.base import UNKNOWN, MultiLabelDataset
from trainer.data.image_files import Progress
from trainer.data.masking import masked
from trainer.data.partition import partitioned
from trainer.errors import TrainerError, unknown_name

SCENES = ("seed", "sites", "images_per_site", "validation_images", "test_images", "strength", "shift")
"""Settings of all variants of the drawn world."""


@dataclass(frozen=True)
class Entry:
    """A data set in files.

    Attributes:
        module: defines PAGE (download page), REQUIRED (paths), DEFAULTS (settings of each variant),
            read_listing(root, settings) and, where they are published without a form to fill in, ARCHIVES.
        title: a one-line description.
    """

    module: str
    title: str


DATASETS: dict[str, Entry] = {
    "voc2007": Entry("trainer.data.sets.voc2007", "PASCAL VOC 2007: 20 classes, 9,963 photographs"),
    "coco2014": Entry("trainer.data.sets.coco2014", "MS COCO 2014: 80 categories, 123,287 photographs"),
    "nuswide": Entry("trainer.data.sets.nuswide", "NUS-WIDE: 81 concepts, 269,648 photographs from Flickr"),
    "multiscene": Entry("trainer.data.sets.multiscene", "MultiScene-Clean: 36 classes, 14,000 aerial images"),
    "mlrsnet": Entry("trainer.data.sets.mlrsnet", "MLRSNet: 60 labels, 109,161 satellite images"),
    "table": Entry("trainer.data.sets.table", "images of your own, listed in CSV, JSON lines or COCO JSON"),
    "hf": Entry("trainer.data.sets.hf", "a folder or a hub name of Hugging Face datasets"),
}
"""All data sets except `scenes`, the drawn world, which needs no files."""


def dataset_names() -> list[str]:
    """The names of all data sets."""
    return ["scenes", *DATASETS]


def load_dataset(
    settings: DataConfig, cache: Path | None = None, progress: Progress | None = None
) -> MultiLabelDataset:
    """Load a data set, partition it among clients, and mask its labels.

    Args:
        settings: data set, data root, partition and masking.
        cache: folder for the results of image checks.
        progress: called with (images checked, total).

    Raises:
        TrainerError: an unknown name, missing files, unreadable images, or settings that do not fit the data.
    """
    return with_owners(load_images(settings, cache, progress), settings)


def load_images(settings: DataConfig, cache: Path | None = None, progress: Progress | None = None) -> MultiLabelDataset:
    """Load a data set as `load_dataset`, without the partition and masking of the settings."""
    check_settings(settings)
    if settings.dataset == "scenes":
        from trainer.data import scenes

        return scenes.load(**settings.model_dump(include=set(SCENES)), scenes=settings.scenes)
    module = dataset_module(settings.dataset)
    root = data_root(settings, cache, progress)
    for required in module.REQUIRED:
        if required.find(root) is None:
            raise TrainerError(
                f"{settings.dataset}: {required.what} is missing; it belongs at {root / required.paths[0]}. "
                f"See: fedmpt datasets check {settings.dataset} --data-root {root}"
            )
    settings = with_defaults(settings, **module.DEFAULTS[settings.variant])
    listing = module.read_listing(root, settings)
    if settings.validation == "published" and listing.validation is None:
        raise TrainerError(f"{settings.dataset} has no validation split of its own: data.validation must be made")
    return assemble(settings.dataset, listing, settings, cache, progress)


def check_settings(settings: DataConfig) -> None:
    """Check that the data set supports every setting that was set.

    Raises:
        TrainerError: a setting that it does not support.
    """
    in_files = settings.dataset != "scenes"
    known = dataset_module(settings.dataset).DEFAULTS[settings.variant] if in_files else {}
    for key in ("min_labels", "difficult", "crowd"):
        if getattr(settings, key) is not None and key not in known:
            raise TrainerError(f"data.{key} has no meaning for {settings.dataset}; leave it out")
    if settings.data_root is not None and not in_files:
        raise TrainerError("scenes is drawn, so it needs no --data-root; name another --dataset, or leave it out")
    if settings.dataset != "table" and settings.table != TableConfig():
        raise TrainerError("data.table is for --dataset table")
    if settings.dataset != "hf" and settings.hf != HfConfig():
        raise TrainerError("data.hf is for --dataset hf")
    if in_files and settings.scenes != ScenesConfig():
        raise TrainerError("data.scenes is for --dataset scenes")
    if settings.scenes.variant == "tied" and settings.scenes != ScenesConfig():
        raise TrainerError("data.scenes has settings that need data.scenes.variant=natural beside them")


def dataset_module(name: str) -> ModuleType:
    """The module of a data set in files.

    Raises:
        TrainerError: an unknown name.
    """
    if name not in DATASETS:
        raise unknown_name("data set", name, dataset_names())
    return importlib.import_module(DATASETS[name].module)


def data_root(settings: DataConfig, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder of the images; of `hf`, the one in the cache to which its images are written.

    Raises:
        TrainerError: it was not given, or does not exist.
    """
    if settings.dataset == "hf":
        root: Path = dataset_module("hf").locate(settings, cache, progress or (lambda done, count: None))
        return root
    if settings.data_root is None:
        raise TrainerError(f"{settings.dataset} needs its files: name their folder with --data-root DIR")
    if not settings.data_root.is_dir():
        raise TrainerError(f"{settings.data_root}: there is no such folder (--data-root)")
    return settings.data_root


def with_owners(dataset: MultiLabelDataset, settings: DataConfig) -> MultiLabelDataset:
    """Partition by the full labels, then mask; the released program masks first.

    Raises:
        TrainerError: a partition that does not suit the data.
    """
    as_released = settings.variant == "released"
    becomes = settings.mask.becomes or ("negative" if as_released else "unknown")

    def mask(dataset: MultiLabelDataset) -> MultiLabelDataset:
        train = dataset.train
        labels = masked(train.labels, train.ids, settings.mask, UNKNOWN if becomes == "unknown" else 0)
        return replace(dataset, train=replace(train, labels=labels))

    if as_released:
        return partitioned(mask(dataset), settings.partition)
    return mask(partitioned(dataset, settings.partition))
