"""Table 5 as text and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields

import torch

from prompt_bank.recording.store import load as load_bank
from trainer.reproducing.grid import Plan
from trainer.reproducing.overhead import Cost, batch_size, has_weights
from trainer.reproducing.paper import OVERHEAD
from trainer.reproducing.sheet import NONE, Line, Sheet
from trainer.run_config import RunConfig

HEADINGS = (
    "parameters",
    "of image tower",
    "trained",
    "ms/step",
    "ms/step, images encoded",
    "peak GB",
    "trained, paper",
    "ms, paper",
)


def cost_sheet(costs: Sequence[Cost], title: str, where: str) -> Sheet:
    """The sheet of the costs.

    Args:
        costs: of all rows.
        title: of the table.
        where: backbone, labels, batch size and device, for the reader.
    """
    notes = [
        where,
        "parameters: of CLIP's two towers and of the method; then those of the image tower and the method, which is "
        "about what the paper counts",
        "ms/step: forward, backward and update from cached frozen features, as trained here; images encoded: the whole "
        "image path in each step, as in published programs. The fastest step counts. The paper's: VOC2007, ViT-B/16",
        "peak: of the GPU's allocator in a step, or of the whole process on a CPU; each method in a process of its own",
        *(f"failed: {cost.row.title}: {cost.failure}" for cost in costs if cost.failure),
    ]
    return Sheet(title, HEADINGS, tuple(_line(cost) for cost in costs), tuple(notes))


def cost_conditions(settings: RunConfig, device: torch.device, plan: Plan) -> str:
    """Backbone, labels, batch size and device, for the reader."""
    size = batch_size(settings)
    labels = len(load_bank(plan.bank).bank.labels)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    weights = "" if has_weights(settings) else " with random weights"
    return f"{settings.backbone.name}{weights}, {labels} labels ({plan.dataset}), batches of {size}, {name}"


def in_words(cost: Cost) -> str:
    """What a row costs, or why it could not be measured, on one line."""
    if cost.failure:
        return f"failed: {cost.failure}"
    if cost.cached is None:
        return "trains nothing"
    return f"{cost.cached:.1f} ms/step, {_ms(cost.encoded)} with images encoded, {cost.peak / 1e9:.2f} GB"


def costs_csv(costs: Sequence[Cost]) -> str:
    """A line per row; parameters, milliseconds, bytes."""
    names = [field.name for field in fields(Cost) if field.name != "row"]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["method", "variant", *names, "paper total", "paper trainable", "paper ms"])
    for cost in costs:
        paper = _paper(cost)
        values = [getattr(cost, name) for name in names]
        lines.writerow([cost.row.key, cost.row.variant, *values, *(paper.get(k) for k in ("total", "trainable", "ms"))])
    return text.getvalue()


def _line(cost: Cost) -> Line:
    paper = _paper(cost)
    values = (
        NONE if cost.failure else f"{cost.total / 1e6:.2f} M",
        NONE if cost.failure else f"{cost.image_tower / 1e6:.2f} M",
        NONE if cost.failure else f"{cost.trainable:,}",
        _ms(cost.cached),
        _ms(cost.encoded),
        f"{cost.peak / 1e9:.2f}" if cost.peak else NONE,
        f"{paper['trainable'] / 1e6:.2f} M" if paper else NONE,
        f"{paper['ms']:.1f}" if paper else NONE,
    )
    return Line(cost.row.key, cost.row.title, values, (False,) * len(values), cost.row.variant == "released")


def _paper(cost: Cost) -> dict[str, float]:
    return OVERHEAD.get(cost.row.published or "", {})


def _ms(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"
