"""Prepare training and evaluation: data, backbone and method from a run's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import RecordedWeights, load_backbone, load_recorded
from trainer.config.settings import settled
from trainer.data.bank_labels import match_notes, matched_bank
from trainer.data.base import MultiLabelDataset, Split, client_indices
from trainer.data.batches import BatchSource
from trainer.data.encoding import Encoding
from trainer.data.features import feature_store
from trainer.data.registry import load_dataset
from trainer.data.streaming import EncodedImages, PixelSource
from trainer.errors import TrainerError, unknown_name
from trainer.federation.aggregation.registry import choose_rule
from trainer.federation.privacy import check_promise
from trainer.federation.rounds import most_rounds
from trainer.heads.context import ContextConfig
from trainer.knowledge import build_knowledge
from trainer.methods.base import Method, MethodContext
from trainer.methods.registry import build
from trainer.planning import settle
from trainer.run_config import RunConfig
from trainer.seeding import torch_generator

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""torch dtypes by their names in the settings."""


@dataclass(frozen=True)
class Reporter:
    """Callbacks for progress and notes; the defaults do nothing."""

    features: Callable[[str, int, int], None] = lambda split, done, count: None
    say: Callable[[str], None] = lambda text: None
    images: Callable[[int, int], None] = lambda done, count: None


@dataclass(frozen=True)
class Prepared:
    """The data set, method and settings that training and evaluation use.

    Numbers that are "auto" in the settings are chosen from the data, see `trainer.planning.settle`.
    """

    config: RunConfig
    dataset: MultiLabelDataset
    method: Method
    cache: Path
    reporter: Reporter
    renamed_labels: Mapping[str, str] = field(default_factory=dict)
    """The bank's labels that are called otherwise in the data: the data's names by the bank's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", settle(self.config, self.dataset.train))

    def features(self, split: Split) -> BatchSource:
        """A split as the method's input: frozen features, cached or computed on the fly, or pixels."""
        clip = self.method.clip
        if self.method.reads == "pixels":
            return PixelSource(split, clip.preprocess.transform())
        return frozen_features(self.config, self.dataset, split, clip, self.method.reads, self.cache, self.reporter)


def frozen_features(
    config: RunConfig,
    dataset: MultiLabelDataset,
    split: Split,
    clip: FrozenClip,
    reads: str,
    cache: Path,
    reporter: Reporter,
) -> BatchSource:
    """A split's frozen features, from the cache or computed on the fly; `reads` as of a method."""
    encoding = Encoding.of(clip, reads, config.backbone.patch_source, config.compute.feature_type)
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
    """The device of a name; "auto" is CUDA if available, otherwise the CPU. From here on, fp32 is fp32 on it.

    Raises:
        TrainerError: the device is not available.
    """
    # torch rounds convolutions, unlike matrix products, to TF32's ten bits: RAM's gradients were 1e-2 off the CPU's.
    torch.backends.cudnn.allow_tf32 = False
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise TrainerError(f"device '{name}' is not available here; use --device auto or cpu") from error


def prepare(
    config: RunConfig,
    bank: Bank | None,
    cache: Path,
    reporter: Reporter | None = None,
    recorded: RecordedWeights | None = None,
) -> Prepared:
    """Load data and backbone, and construct the method.

    Args:
        config: the run's settings.
        bank: the run's bank, if it has one.
        cache: of features.
        reporter: of progress.
        recorded: if the settings come from a run's folder, the weights that it records; None if they are the user's.

    Raises:
        TrainerError: an unknown name, missing weights, or a bank that does not fit the data.
    """
    reporter = reporter or Reporter()
    dataset = load_dataset(config.data, cache, reporter.images)
    named, device = config.backbone, pick_device(config.device)
    if recorded is None:
        clip = load_backbone(named.name, named.pretrained, device, resize=named.resize)
    else:
        clip = load_recorded(named.name, named.pretrained, recorded, device, named.resize)
    return assemble(config, dataset, clip, bank, cache, reporter)


def assemble(
    config: RunConfig, dataset: MultiLabelDataset, clip: FrozenClip, bank: Bank | None, cache: Path, reporter: Reporter
) -> Prepared:
    """Construct the method on a loaded data set and backbone.

    Raises:
        TrainerError: an unknown name, a bank that does not fit, or weights that the aggregation rule does not support.
    """
    renamed: dict[str, str] = {}
    if bank is not None:
        named = bank
        bank, renamed = matched_bank(bank, dataset.label_names, dataset.aliases)
        dataset = replace(dataset, notes=(*dataset.notes, *match_notes(named, renamed)))
    clip.precision = PRECISIONS[config.compute.precision]
    knowledge = build_knowledge(
        config,
        dataset,
        clip,
        bank,
        lambda: frozen_features(config, dataset, dataset.train, clip, "features", cache, reporter),
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
    choose_rule(config.federation, method.aggregation)
    prepared = Prepared(config, dataset, method, cache, reporter, renamed)
    _check_privacy(prepared)
    return prepared


def _check_privacy(prepared: Prepared) -> None:
    """Refuse privacy that promises nothing."""
    config, method = prepared.config, prepared.method
    if not config.federation.privacy.on:
        return
    if isinstance(config.method, ContextConfig) and config.method.context == "sites":
        raise TrainerError("federation.privacy: method.context=sites counts annotations that nothing protects")
    clients = len(client_indices(prepared.dataset.train))
    exchanged, rounds = method.exchanged(), settled(config.federation.rounds, "federation.rounds")
    parameters = sum(p.numel() for name, p in method.named_parameters() if name in exchanged)
    most = most_rounds(clients, config.federation.participation, config.seeds.clients, rounds)
    check_promise(config.federation, clients, most, parameters)


def seen_labels(names: tuple[str, ...], unseen: tuple[str, ...]) -> tuple[int, ...] | None:
    """Indices of the labels used in training; None for all.

    Raises:
        TrainerError: a name that is not a label, or fewer than two labels left.
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
