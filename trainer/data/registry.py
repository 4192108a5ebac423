"""Data sets by name."""

from __future__ import annotations

from trainer.config import DataConfig
from trainer.data.base import MultiLabelDataset
from trainer.errors import unknown_name


def load_dataset(settings: DataConfig) -> MultiLabelDataset:
    """The data set that the settings name.

    Raises:
        TrainerError: an unknown name.
    """
    if settings.dataset == "scenes":
        from trainer.data import scenes

        return scenes.load(**settings.model_dump(exclude={"dataset"}))
    raise unknown_name("data set", settings.dataset, ["scenes"])
