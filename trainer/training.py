"""A run from its settings to its checkpoints: prepare and train."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import load_backbone
from trainer.config import RunConfig
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.features import BatchSource, Encoding, feature_store
from trainer.data.pixels import PixelSource
from trainer.data.registry import load_dataset
from trainer.data.streaming import EncodedImages
from trainer.errors import TrainerError, unknown_name
from trainer.evaluation import diagnose, measure
from trainer.federation.local import LocalEngine, check_compiled
from trainer.federation.rounds import RoundContext, RoundRecord, run_round
from trainer.federation.seeding import torch_generator
from trainer.methods.base import Method, MethodContext, build
from trainer.metrics import Figures
from trainer.provenance import owners, record_identity
from trainer.runs import Run

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""torch's types by their names in the settings."""


@dataclass(frozen=True)
class Reporter:
    """Where progress goes; every part may be left out."""

    features: Callable[[str, int, int], None] = lambda split, done, count: None
    say: Callable[[str], None] = lambda text: None
    images: Callable[[int, int], None] = lambda done, count: None
    round: Callable[[RoundRecord, Figures, int], None] = lambda record, validation, rounds: None


@dataclass(frozen=True)
class Prepared:
    """What training and evaluation work on."""

    config: RunConfig
    dataset: MultiLabelDataset
    method: Method
    cache: Path
    reporter: Reporter

    def features(self, split: Split) -> BatchSource:
        """A split as the method takes it in: its frozen features, from the cache or made on the way, or its pixels."""
        clip, config = self.method.clip, self.config
        if self.method.inputs == "pixels":
            return PixelSource(split, clip.preprocess.transform())
        encoding = Encoding(clip, config.backbone.patch_source, config.compute.feature_type)
        if not config.compute.feature_cache:
            return EncodedImages(split, encoding)
        return feature_store(
            self.dataset,
            split,
            encoding,
            self.cache,
            lambda done, count: self.reporter.features(split.name, done, count),
            self.reporter.say,
        )


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is a GPU.

    Raises:
        TrainerError: a device that isn't there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise TrainerError(f"device '{name}' is not available here; use --device auto or cpu") from error


def prepare(config: RunConfig, bank: Bank | None, cache: Path, reporter: Reporter | None = None) -> Prepared:
    """Load data and backbone, and build the method with its parameters drawn.

    Raises:
        TrainerError: an unknown name, missing weights, or a bank that doesn't fit.
    """
    reporter = reporter or Reporter()
    dataset = load_dataset(config.data, cache, reporter.images)
    clip = load_backbone(config.backbone.name, config.backbone.pretrained, pick_device(config.device))
    return assemble(config, dataset, clip, bank, cache, reporter or Reporter())


def assemble(
    config: RunConfig, dataset: MultiLabelDataset, clip: FrozenClip, bank: Bank | None, cache: Path, reporter: Reporter
) -> Prepared:
    """The method on data and a backbone that are there already, with its parameters drawn.

    Raises:
        TrainerError: an unknown name, or a bank that doesn't fit.
    """
    clip.precision = PRECISIONS[config.compute.precision]
    context = MethodContext(
        clip=clip,
        label_names=dataset.label_names,
        bank=bank,
        settings=config.method,
        loss=config.loss,
        generator=torch_generator(config.seeds.initial, "initial", config.method.name),
        seen=seen_labels(dataset.label_names, config.unseen_labels),
        text_chunk=config.compute.text_chunk,
    )
    method = build(config.method.name, context).to(clip.device)
    return Prepared(config, dataset, method, cache, reporter)


def train(run: Run, prepared: Prepared, checkpoint: str = "last") -> None:
    """Run the rounds that the run still lacks, from a checkpoint.

    Everything random depends on (seed, purpose, round, client) alone and clients keep no state, so a run that was
    interrupted goes on to the same bits, from whichever of its checkpoints.

    Args:
        run: the run's folder.
        prepared: its data, backbone and method.
        checkpoint: where to go on: "last", "best" or a number of rounds. Later rounds are forgotten.

    Raises:
        RunFailed: a loss or a reply that is not finite.
        TrainerError: no such checkpoint, other data or backbone than when the run began, or a compiled loss that
            differs.
    """
    config, method = prepared.config, prepared.method
    record_identity(run, prepared)
    rounds = config.federation.rounds if method.trainable() else 0
    if not run.checkpoints():
        run.save_checkpoint(0, method.exchanged())
    done, state = run.load_checkpoint(checkpoint)
    run.rewind(done)
    if done >= rounds or out_of_patience(run, config.federation.patience):
        return
    engine = LocalEngine(
        method=method,
        images=prepared.features(prepared.dataset.train),
        owned=owners(prepared.dataset.train),
        federation=config.federation,
        optimiser=config.optimiser,
        seed=config.seeds.batches,
        compute=config.compute,
    )
    validation = prepared.features(prepared.dataset.validation)
    with _deterministic(config.compute.deterministic), _EventLog(run, done) as log:
        check_compiled(engine)
        for index in range(done, rounds):
            context = RoundContext(index, rounds)
            state, record = run_round(
                state,
                len(engine.owned),
                engine.train_client,
                config.federation,
                config.optimiser,
                config.seeds.clients,
                context,
            )
            method.receive(state)
            measured = measure(method, validation)
            run.append_metrics({**_line(record, measured), **diagnose(method, validation)})
            log(record, measured)
            prepared.reporter.round(record, measured, rounds)
            stopped = out_of_patience(run, config.federation.patience)
            _keep(run, config.checkpoint_every, index + 1, state, last=stopped or index + 1 == rounds)
            if stopped:
                return


def out_of_patience(run: Run, patience: int | None) -> bool:
    """Whether the best validation mAP is so many rounds old."""
    if patience is None or not run.metrics():
        return False
    return run.metrics()[-1]["rounds"] - run.best() >= patience


def _keep(run: Run, every: int, rounds: int, state: dict[str, Tensor], last: bool) -> None:
    """Write the checkpoint where its turn has come, where it is the best so far, or at the end.

    A former best that is nothing else goes, once the new one is on the disk.
    """
    is_best = run.best() == rounds
    if not (is_best or last or rounds % every == 0):
        return
    run.save_checkpoint(rounds, state)
    for other, path in run.checkpoints().items():
        if other % every and other not in (run.best(), rounds):
            path.unlink()


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """PyTorch's deterministic mode, for the time of the rounds."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    # cuBLAS reads it when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def seen_labels(names: tuple[str, ...], unseen: tuple[str, ...]) -> tuple[int, ...] | None:
    """Indices of the labels that training sees; None where it sees all.

    Raises:
        TrainerError: a name that is no label, or fewer than two labels left.
    """
    for name in unseen:
        if name not in names:
            raise unknown_name("unseen label", name, list(names))
    if not unseen:
        return None
    seen = tuple(index for index, name in enumerate(names) if name not in unseen)
    if len(seen) < 2:
        raise TrainerError("unseen_labels leaves fewer than two labels to train on")
    return seen


def _line(record: RoundRecord, validation: Figures) -> dict[str, Any]:
    kept = {key: value for key, value in validation.to_dict().items() if key != "average_precision"}
    return {
        "rounds": record.round + 1,
        "clients": list(record.clients),
        "examples": record.examples,
        "loss": record.loss,
        "learning_rate": record.learning_rate,
        "validation": kept,
    }


class _EventLog:
    """TensorBoard's event file of a run; events behind the checkpoint are purged on resume."""

    def __init__(self, run: Run, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.folder / "events"), purge_step=done + 1)

    def __enter__(self) -> Callable[[RoundRecord, Figures], None]:
        return self._log

    def _log(self, record: RoundRecord, validation: Figures) -> None:
        step = record.round + 1
        self.writer.add_scalar("train/loss", record.loss, step)
        self.writer.add_scalar("train/learning_rate", record.learning_rate, step)
        self.writer.add_scalar("validation/mAP", validation.mAP, step)
        self.writer.add_scalar("validation/CF1", validation.CF1, step)
        self.writer.add_scalar("validation/OF1", validation.OF1, step)

    def __exit__(self, *_: object) -> None:
        self.writer.close()
