"""What gpu_check.py measures: every registered method on a backbone, one step of it, and a short training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import torch
from scenes_runs import train
from torch import Tensor

from prompt_bank.schema import Bank, Condition, Label
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.backbone.load import load_backbone
from trainer.config.sections import LossConfig
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.data.scenes.objects import CLASSES
from trainer.evaluation.measuring import measure
from trainer.methods.base import Method, MethodContext
from trainer.methods.registry import build, method_names, settings_classes
from trainer.preparing import PRECISIONS, prepare
from trainer.resolving import resolve

BACKBONE = "ViT-B-16-quickgelu"
BATCH, LABELS = 8, 20
PAPER_MS = {"fedmpt, transport": "97.03"}
"""Of the paper's Table 5, where the method is there."""
CONDITIONS = ("background", "lighting", "pose", "spatial layout", "object scale")


def variants() -> list[str]:
    """Every registered method, and FedMPT as the paper has it."""
    return [*method_names(), "fedmpt, transport"]


@dataclass(frozen=True)
class Made:
    """A method with a batch for it.

    Attributes:
        method: in training mode, without dropout's chance: seeded before each use.
        pixels: (B, 3, H, W).
        batch: what the method reads of them, cached.
        loss: the method's, or compiled.
    """

    method: Method
    pixels: Tensor
    batch: Batch
    loss: Callable[[Batch], Tensor]


@cache
def backbone(name: str, device: str) -> FrozenClip:
    """scenes-tiny, or a model of open_clip with random weights, the same on every device."""
    if name == "scenes-tiny":
        return load_backbone(name, None, device)
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None, load_weights=False)
    preprocess = Preprocess(224, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))
    return FrozenClip(model, open_clip.SimpleTokenizer(), preprocess, name).to(device)


def make(variant: str, device: torch.device, name: str, precision: str = "fp32") -> Made:
    """A method with the same parameters and the same batch on every device."""
    clip = backbone(name, str(device))
    clip.precision = PRECISIONS[precision]
    labels = CLASSES if name == "scenes-tiny" else CLASSES[:LABELS]
    bank = bank_of(labels)
    kind, _, matching = variant.partition(", ")
    settings = settings_classes()[kind].model_validate({"matching": matching} if matching else {})
    context = MethodContext(clip, labels, bank, settings, LossConfig(), torch.Generator().manual_seed(0))
    method = build(kind, context).to(device)
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(BATCH, 3, clip.preprocess.size, clip.preprocess.size, generator=generator).to(device)
    truth = (torch.rand(BATCH, len(labels), generator=generator) < 0.2).float().to(device)
    return Made(method, pixels, read(method, pixels, truth), method.loss)


def bank_of(labels: Sequence[str]) -> Bank:
    """Five conditions, and two attributes of each label."""
    return Bank(
        name="check",
        labels=tuple(Label(name=label, attributes=("round shape", "metal surface")) for label in labels),
        conditions=tuple(Condition(id=f"c{i}", text=text) for i, text in enumerate(CONDITIONS)),
    )


def read(method: Method, pixels: Tensor, truth: Tensor) -> Batch:
    """What a method reads of preprocessed images."""
    encoding = Encoding.of(method.clip, method.reads)
    return batch_of_pixels(method.reads, encoding, pixels, truth)


def loss_and_gradients(made: Made) -> dict[str, Tensor]:
    """In evaluation mode, so that no dropout differs; on the CPU."""
    method = made.method.eval()
    method.zero_grad()
    value = made.loss(made.batch)
    if value.requires_grad:
        value.backward()
    found = {name: p.grad.cpu().clone() for name, p in method.named_parameters() if p.grad is not None}
    return {"loss": value.detach().cpu().clone(), **found}


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Of the loss and any gradient, relative to its largest number."""
    return max(
        float((found[name] - value).abs().max() / value.abs().max().clamp_min(1e-12))
        for name, value in expected.items()
    )


class Step:
    """A training step: loss, backward, update. A method without parameters computes its loss.

    Args:
        made: the method and its batch.
        images: whether the images are encoded in each step.
    """

    def __init__(self, made: Made, images: bool = False) -> None:
        self.made, self.images = made, images
        parameters = [p for p in made.method.parameters() if p.requires_grad]
        self.optimiser = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9) if parameters else None

    def __call__(self) -> None:
        """One step."""
        made = self.made
        batch = read(made.method, made.pixels, made.batch.labels) if self.images else made.batch
        loss = made.loss(batch)
        if self.optimiser is None:
            return
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


@cache
def peak_tflops(device: torch.device, size: int = 8192) -> float:
    """TFLOP/s of a bf16 matrix product, the best of ten."""
    size = size if device.type == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        wait(device)
        began = time.perf_counter()
        a @ a
        wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e12


def scenes_map(variant: str, device: torch.device, rounds: int, folder: Path) -> tuple[float, float]:
    """mAP on the validation split of the drawn world, and the seconds that the rounds took.

    Args:
        variant: of `variants`.
        device: where it trains.
        rounds: of the federation.
        folder: of frozen features, which the variants share.
    """
    kind, _, matching = variant.partition(", ")
    overrides: dict[str, Any] = {"device": str(device), "federation.rounds": rounds, "method.name": kind}
    config = resolve(overrides={**overrides, **({"method.matching": matching} if matching else {})})
    ready = prepare(config, bank_of(CLASSES), folder)
    validation = ready.features(ready.dataset.validation)
    ready.features(ready.dataset.train)
    began = time.monotonic()
    train(ready)
    seconds = time.monotonic() - began
    return float(measure(ready.method, validation).mAP or "nan"), seconds


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
