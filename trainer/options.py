"""How to work on a run (where its files are now, device, progress), and loading its data and method with that."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fedmpt.common.console import cache_folder
from fedmpt.common.words import printable
from prompt_bank.recording.store import load as load_bank
from prompt_bank.schema import Bank
from trainer.backbone.load import RecordedWeights
from trainer.errors import TrainerError
from trainer.evaluation.undefined import undefined_figures
from trainer.preparing import Prepared, prepare
from trainer.progress import Progress, printed
from trainer.resolving import absolute
from trainer.run_config import RunConfig


@dataclass(frozen=True)
class Options:
    """How to work on a run; nothing here is stored in it.

    Attributes:
        cache_dir: folder of cached features; None for FEDMPT_CACHE_DIR, else ./cache.
        device: instead of the run's `device`.
        feature_cache: off: encode images each time they are used.
        data_root: where the data set's files are now; None for where they were in training.
        backbone: where an existing run's backbone is now: a .safetensors file, or a tag of open_clip, which may then be
            fetched; None for where the run says, and nothing is fetched. It must be the recorded one.
        progress: callbacks.
    """

    cache_dir: Path | None = None
    device: str | None = None
    feature_cache: bool = True
    data_root: Path | None = None
    backbone: str | None = None
    progress: Progress = field(default_factory=printed)

    def apply(self, settings: RunConfig) -> RunConfig:
        """A run's settings with these options."""
        if self.data_root is not None:
            data = settings.data.model_copy(update={"data_root": Path(absolute(self.data_root))})
            settings = settings.model_copy(update={"data": data})
        if self.device is not None:
            settings = settings.model_copy(update={"device": self.device})
        if not self.feature_cache:
            compute = settings.compute.model_copy(update={"feature_cache": False})
            settings = settings.model_copy(update={"compute": compute})
        return settings

    def prepare(self, settings: RunConfig, bank: Path | None, recorded: RecordedWeights | None = None) -> Prepared:
        """Data, backbone and method of a run, with notes on its bank, its data, and figures that will have no value.

        Args:
            settings: the run's.
            bank: its file.
            recorded: see `trainer.preparing.prepare`.

        Raises:
            TrainerError, BankError: see `trainer.preparing.prepare` and `prompt_bank.recording.store.load`.
        """
        if recorded is not None and self.data_root is None:
            _refuse_unasked_fetching(settings)
        say, read = self.progress.reporter.say, None if bank is None else _read(bank, self.progress)
        cache = cache_folder(self.cache_dir)
        prepared = prepare(self.apply(settings), read, cache, self.progress.reporter, recorded)
        seen = prepared.method.seen
        undefined = undefined_figures(prepared.dataset, None if seen is None else seen.tolist())
        for note in (*prepared.dataset.notes, *undefined):
            say(f"note: {note}")
        return prepared


def _refuse_unasked_fetching(settings: RunConfig) -> None:
    """A run's folder may be a stranger's, so what it names is not fetched.

    Raises:
        TrainerError: its data set is on the hub.
    """
    root = settings.data.data_root
    if settings.data.dataset == "hf" and root is not None and not root.is_dir():
        raise TrainerError(f"the run's data set is {printable(str(root))}; say --data-root with its name to load it")


def _read(path: Path, progress: Progress) -> Bank:
    loaded = load_bank(path)
    if loaded.edited:
        progress.reporter.say(
            f"note: {path} was edited by hand since revision {loaded.bank.revision}; used as it stands"
        )
    for warning in loaded.warnings:
        progress.reporter.say(f"warning: {path}: {warning}")
    return loaded.bank
