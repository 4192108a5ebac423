"""From a run's settings to what training and evaluation work on: data, backbone, method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import load_backbone
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.batches import BatchSource
from trainer.data.encoding import Encoding, frozen_blocks
from trainer.data.features import feature_store
from trainer.data.registry import load_dataset
from trainer.data.streaming import EncodedImages, PixelSource
from trainer.errors import TrainerError, unknown_name
from trainer.federation.aggregation.registry import choose
from trainer.knowing import known
from trainer.methods.base import Method, MethodContext
from trainer.methods.registry import build
from trainer.run_config import RunConfig
from trainer.seeding import torch_generator

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""torch's types by their names in the settings."""


@dataclass(frozen=True)
class Reporter:
    """Where progress goes; every part may be left out."""

    features: Callable[[str, int, int], None] = lambda split, done, count: None
    say: Callable[[str], None] = lambda text: None
    images: Callable[[int, int], None] = lambda done, count: None


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
        clip = self.method.clip
        if self.method.reads == "pixels":
            return PixelSource(split, clip.preprocess.transform())
        block = frozen_blocks(self.method.reads)
        return frozen_features(self.config, self.dataset, split, clip, block, self.cache, self.reporter)


def frozen_features(
    config: RunConfig,
    dataset: MultiLabelDataset,
    split: Split,
    clip: FrozenClip,
    block: int | None,
    cache: Path,
    reporter: Reporter,
) -> BatchSource:
    """A split's frozen features, from the cache or made on the way; `block` as in `Encoding`."""
    encoding = Encoding(clip, config.backbone.patch_source, config.compute.feature_type, block)
    if not config.compute.feature_cache:
        return EncodedImages(split, encoding)
    return feature_store(
        dataset,
        split,
        encoding,
        cache,
        lambda done, count: reporter.features(split.name, done, count),
        reporter.say,
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
        TrainerError: an unknown name, a bank that doesn't fit, or weights that the aggregation rule doesn't look at.
    """
    clip.precision = PRECISIONS[config.compute.precision]
    knowledge = known(
        config,
        dataset,
        clip,
        bank,
        lambda: frozen_features(config, dataset, dataset.train, clip, None, cache, reporter),
    )
    context = MethodContext(
        clip=clip,
        label_names=dataset.label_names,
        bank=bank,
        settings=config.method,
        loss=config.loss,
        generator=torch_generator(config.seeds.initial, "initial", config.method.name),
        seen=seen_labels(dataset.label_names, config.unseen_labels),
        text_chunk=config.compute.text_chunk,
        knowledge=knowledge,
    )
    method = build(config.method.name, context).to(clip.device)
    choose(config.federation, method.aggregation)
    return Prepared(config, dataset, method, cache, reporter)


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
