"""Loading the small copies of published data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmpt.common.errors import FedmptError
from tests.trainer import layouts
from trainer.config.data import DataConfig
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.registry import load_dataset
from trainer.resolving import resolve

BUILDERS = {
    "voc2007": layouts.voc2007,
    "coco2014": layouts.coco2014,
    "nuswide": layouts.nuswide,
    "multiscene": layouts.multiscene,
    "mlrsnet": layouts.mlrsnet,
}


def settings(name: str, root: Path, **more: object) -> DataConfig:
    # Splits of three or four images: a half is set aside, and there are no more clients than label vectors.
    small = {"validation_share": 0.5, "partition.kind": "iid", "partition.clients": 1}
    overrides = {"dataset": name, "data_root": str(root), **small, **more}
    return resolve(overrides={f"data.{key}": value for key, value in overrides.items()}).data


def load(name: str, root: Path, **more: object) -> MultiLabelDataset:
    return load_dataset(settings(name, root, **more))


def labels(dataset: MultiLabelDataset, *splits: Split) -> dict[str, dict[str, int]]:
    """By file name: the labels that are not absent."""
    return {
        Path(id_).name: {n: int(v) for n, v in zip(dataset.label_names, row, strict=True) if v}
        for split in splits
        for id_, row in zip(split.ids, split.labels, strict=True)
    }


def refused(name: str, root: Path, **more: object) -> str:
    with pytest.raises(FedmptError) as caught:
        load(name, root, **more)
    return str(caught.value)
