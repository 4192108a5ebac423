"""A small CLIP with random weights for tests, and the one of the parity fixtures."""

from __future__ import annotations

import json
from typing import Any

import open_clip
import torch

from prompt_bank.schema import Affinity, Bank, Condition, Label, Prompt
from tests.shared import shared
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.backbone.load import fill_weights
from trainer.config.sections import LossConfig
from trainer.config.settings import Settings
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.heads import context_tables
from trainer.heads.context import ContextConfig, Knowledge
from trainer.methods.base import MethodContext

PREPROCESS = Preprocess(32, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))


def random_clip(
    seed: int = 0, dtype: torch.dtype = torch.float32, layers: int = 2, vision_layers: int = 2
) -> FrozenClip:
    """Two layers, unless others are asked for, width 32, 16 patches, the stock vocabulary."""
    config: dict[str, Any] = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": vision_layers, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": layers},
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.model.CLIP(**config)
    return FrozenClip(model.to(dtype), open_clip.SimpleTokenizer(), PREPROCESS, "random-tiny")


def fixture_clip() -> FrozenClip:
    """The CLIP with which the parity fixtures were computed."""
    described = json.loads(shared("fixtures/tinyclip.json").read_text())
    config = {key: described[key] for key in ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")}
    model = open_clip.model.CLIP(**config)
    fill_weights(model, shared("fixtures/tinyclip.safetensors"))
    return FrozenClip(model, open_clip.SimpleTokenizer(), PREPROCESS, "fixture-tiny")


LABELS = ("cat", "dining table", "person")


def small_bank(
    conditions: tuple[str, ...] = ("background", "spatial layout"),
    labels: tuple[str, ...] = LABELS,
    values: tuple[str, ...] = (),
) -> Bank:
    """A bank with the given conditions and values of theirs, three condition tokens and two class tokens."""
    return Bank(
        name="small",
        labels=tuple(Label(name=name, attributes=("round", f"red top {i}")) for i, name in enumerate(labels)),
        conditions=tuple(Condition(id=f"condition-{i}", text=text, values=values) for i, text in enumerate(conditions)),
        prompt=Prompt(condition_tokens=3, class_tokens=2),
    )


def bank_with_affinities(labels: tuple[str, ...] = LABELS) -> Bank:
    """The small bank with random affinities: two values of the first condition, three of the second."""
    generator = torch.Generator().manual_seed(1)
    bank, conditions = small_bank(labels=labels), []
    for condition, values in zip(bank.conditions, (("street", "park"), ("day", "night", "fog")), strict=True):
        numbers = torch.randn(len(labels), len(values), generator=generator).tolist()
        affinity = Affinity(rows={label: tuple(row) for label, row in zip(labels, numbers, strict=True)})
        conditions.append(condition.model_copy(update={"values": values, "affinity": affinity}))
    return bank.model_copy(update={"conditions": tuple(conditions)})


def small_knowledge(settings: Settings, labels: tuple[str, ...] = LABELS) -> Knowledge | None:
    """The knowledge of `bank_with_affinities` for a method with these settings."""
    if not isinstance(settings, ContextConfig) or settings.context == "none":
        return None
    table = context_tables.bank_table(bank_with_affinities(labels), labels, settings.context_conditions)
    return context_tables.to_knowledge(settings, table, random_clip(), labels)


def method_context(
    settings: Settings,
    bank: Bank | None = None,
    clip: FrozenClip | None = None,
    labels: tuple[str, ...] = LABELS,
) -> MethodContext:
    """What a method is built from, on the random CLIP."""
    return MethodContext(
        clip=clip or random_clip(),
        label_names=labels,
        bank=bank,
        settings=settings,
        loss=LossConfig(),
        generator=torch.Generator().manual_seed(0),
        knowledge=small_knowledge(settings, labels),
    )


def random_batch(
    clip: FrozenClip, images: int = 4, seed: int = 0, labels: int = len(LABELS), reads: str = "features"
) -> Batch:
    """What a method reads of random images, with random labels."""
    generator = torch.Generator().manual_seed(seed)
    size = clip.preprocess.size
    pixels = torch.randn(images, 3, size, size, generator=generator)
    truth = (torch.rand(images, labels, generator=generator) < 0.5).float()
    return batch_of_pixels(reads, Encoding.of(clip, reads), pixels, truth)
