"""What the cells of a process share: images, backbone and bank are loaded once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedmpt.common.console import cache_folder
from prompt_bank.recording.store import load as load_bank
from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import RecordedWeights, load_backbone
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.registry import load_images, with_owners
from trainer.options import Options
from trainer.planning import settle
from trainer.preparing import Prepared, assemble, pick_device
from trainer.run_config import RunConfig


@dataclass(frozen=True)
class SharedOptions(Options):
    """Options that keep what they loaded last for the next run that needs the same.

    A run's recorded backbone and data are compared with what is loaded (`trainer.run.identity`), as for other runs.
    """

    kept: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def prepare(self, settings: RunConfig, bank: Path | None, recorded: RecordedWeights | None = None) -> Prepared:
        """As `Options.prepare`, without its notes: they would be the same for each cell."""
        config = self.apply(settings)
        dataset = with_owners(self._images(config), config.data)
        read = None if bank is None else self._bank(bank)
        reporter = self.progress.reporter
        return assemble(config, dataset, self._clip(config), read, cache_folder(self.cache_dir), reporter)

    def training_images(self, settings: RunConfig) -> tuple[RunConfig, Split]:
        """A run's training images with their owners, and its settings with numbers in place of "auto"."""
        config = self.apply(settings)
        train = with_owners(self._images(config), config.data).train
        return settle(config, train), train

    def load(self, settings: RunConfig, bank: Path) -> None:
        """Load images, backbone and bank of a run.

        Raises:
            TrainerError, BankError: they are missing, or cannot be used.
        """
        config = self.apply(settings)
        self._bank(bank)
        self._clip(config)
        self._images(config)

    def _images(self, config: RunConfig) -> MultiLabelDataset:
        key = config.data.model_dump_json(exclude={"partition", "mask"})
        if self._lacks("images", key):
            cache = cache_folder(self.cache_dir)
            self.kept["images"] = (key, load_images(config.data, cache, self.progress.reporter.images))
        loaded: MultiLabelDataset = self.kept["images"][1]
        return loaded

    def _clip(self, config: RunConfig) -> FrozenClip:
        named, device = config.backbone, pick_device(config.device)
        key = f"{named.name} {named.pretrained} {named.resize} {device}"
        if self._lacks("clip", key):
            self.kept["clip"] = (key, load_backbone(named.name, named.pretrained, device, resize=named.resize))
        loaded: FrozenClip = self.kept["clip"][1]
        return loaded

    def _bank(self, path: Path) -> Bank:
        key = path.read_bytes().hex()
        if self._lacks("bank", key):
            self.kept["bank"] = (key, load_bank(path).bank)
        loaded: Bank = self.kept["bank"][1]
        return loaded

    def _lacks(self, what: str, key: str) -> bool:
        return what not in self.kept or self.kept[what][0] != key
