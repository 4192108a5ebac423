"""What a training step of each method costs (Table 5): parameters, milliseconds, peak memory.

Each method is measured in a fresh process, so that its peak memory is its own. Images and labels are random, and so are
the weights unless they are given: neither time nor memory depends on them, and no data set is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from fedmpt.common.errors import FedmptError
from prompt_bank.recording.store import load as load_bank
from prompt_bank.schema import Bank
from trainer.backbone.architectures import SHIPPED
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import load_backbone, random_backbone
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.federation.optimiser import make_optimiser
from trainer.federation.rounds import RoundContext
from trainer.methods.base import Method, MethodContext
from trainer.methods.registry import build
from trainer.preparing import PRECISIONS, pick_device
from trainer.reproducing.lineup import Row
from trainer.run_config import RunConfig
from trainer.seeding import torch_generator

WARM_UP, STEPS = 3, 10
"""Steps before the measurement, and measured ones, of which the fastest counts."""
BATCH_SIZE = 32
"""Images per step, as in the paper, unless `optimiser.batch_size` is set."""


@dataclass(frozen=True)
class Cost:
    """The cost of a method, or why it could not be measured.

    Attributes:
        row: of the table.
        total: parameters of CLIP's towers and of the method.
        image_tower: of them, those of CLIP's image tower and of the method.
        trainable: trained parameters.
        cached: milliseconds of a step from cached frozen features; None if nothing is trained.
        encoded: milliseconds of a step that encodes its images, as published programs do.
        peak: bytes of memory: of the GPU's allocator over the steps, or of the whole process.
        failure: the reason if it was not measured.
    """

    row: Row
    total: int = 0
    image_tower: int = 0
    trainable: int = 0
    cached: float | None = None
    encoded: float | None = None
    peak: int = 0
    failure: str = ""


def measure_all(rows: list[tuple[Row, RunConfig]], bank: Path, steps: int = STEPS) -> Iterator[Cost]:
    """The cost of each row, measured one after another, each in a process of its own.

    Args:
        rows: with their settings.
        bank: its labels are those of the prompts.
        steps: measured ones.
    """
    for row, settings in rows:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
            try:
                yield process.submit(measure, row, settings, bank, steps, torch.get_num_threads()).result()
            except (FedmptError, RuntimeError, MemoryError, BrokenProcessPool) as error:
                yield Cost(row, failure=str(error)[:500] or type(error).__name__)


def measure(row: Row, settings: RunConfig, bank: Path, steps: int, threads: int) -> Cost:
    """The cost of a row in this process.

    Raises:
        TrainerError: settings, weights or bank that do not fit.
    """
    torch.set_num_threads(threads)
    method = _method(settings, load_bank(bank).bank)
    clip = method.clip
    own = sum(part.numel() for name, part in method.named_parameters())
    image_tower = sum(part.numel() for part in clip.model.visual.parameters())
    counts = {
        "total": own + sum(part.numel() for part in clip.model.parameters()),
        "image_tower": own + image_tower,
        "trainable": method.trainable(),
    }
    if not method.trainable():
        return Cost(row, **counts)
    pixels, truth = _random_images(clip, batch_size(settings), len(method.label_names))
    encoding = Encoding.of(clip, method.reads, settings.backbone.patch_source, settings.compute.feature_type)

    def encoded() -> Batch:
        return batch_of_pixels(method.reads, encoding, pixels, truth)

    ready = encoded()
    _start_peak(clip.device)
    cached = _milliseconds(_step(method, settings, lambda: ready), clip.device, steps)
    peak = _peak(clip.device)
    whole = _milliseconds(_step(method, settings, encoded), clip.device, steps)
    return Cost(row, **counts, cached=cached, encoded=whole, peak=peak)


def batch_size(settings: RunConfig) -> int:
    """Images per measured step."""
    size = settings.optimiser.batch_size
    return size if isinstance(size, int) else BATCH_SIZE


def has_weights(settings: RunConfig) -> bool:
    """Whether the backbone's weights are real ones."""
    return settings.backbone.pretrained is not None or settings.backbone.name == SHIPPED


def _method(settings: RunConfig, bank: Bank) -> Method:
    device, named = pick_device(settings.device), settings.backbone
    known = has_weights(settings)
    clip = load_backbone(named.name, named.pretrained, device) if known else random_backbone(named.name).to(device)
    clip.precision = PRECISIONS[settings.compute.precision]
    context = MethodContext(
        clip=clip,
        label_names=tuple(label.name for label in bank.labels),
        bank=bank,
        settings=settings.method,
        loss=settings.loss,
        generator=torch_generator(settings.seeds.initial, "initial", settings.method.name),
        text_chunk=settings.compute.text_chunk,
    )
    return build(settings.method.name, context).to(clip.device)


def _random_images(clip: FrozenClip, count: int, labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = clip.preprocess.size
    pixels = torch.randn(count, 3, size, size, generator=generator)
    truth = (torch.rand(count, labels, generator=generator) < 0.1).float()
    return pixels.to(clip.device), truth.to(clip.device)


def _step(method: Method, settings: RunConfig, batch: Callable[[], Batch]) -> Callable[[], None]:
    """Forward, backward and update."""
    optimiser = make_optimiser(method, settings.optimiser, RoundContext(0, 1))

    def step() -> None:
        optimiser.zero_grad()
        method.loss(batch()).backward()
        optimiser.step()

    return step


def _milliseconds(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Milliseconds of the fastest step: by events on a GPU, which its queue does not distort; wall-clock on a CPU."""
    for _ in range(min(WARM_UP, steps)):
        step()
    return min(_timed(step, device) for _ in range(steps))


def _timed(step: Callable[[], None], device: torch.device) -> float:
    if device.type != "cuda":
        began = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - began)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    begin.record()
    step()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def _start_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int:
    """Bytes: of the GPU's allocator since `_start_peak`, or of this process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):  # not Linux
        import resource
        import sys

        # In kilobytes, but in bytes on macOS. May include the parent's, which is small here.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
