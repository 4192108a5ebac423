"""The expected time of training, from a few steps on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer.config.settings import settled
from trainer.data.base import client_indices
from trainer.data.batches import BatchSource
from trainer.data.encoding import Encoding
from trainer.data.streaming import EncodedImages, PixelSource
from trainer.planning import Plan
from trainer.preparing import Prepared

STEPS = 3
"""Steps that are timed; the fastest counts, since the first ones also warm up."""


@dataclass(frozen=True)
class Expected:
    """Seconds.

    Attributes:
        encoding: features of all images, if none is in the cache; 0 if images are read in each step.
        training: all steps, and the validation after each round.
    """

    encoding: float
    training: float


def expected_time(prepared: Prepared, plan: Plan) -> Expected:
    """Time a few steps on training images. Parameters do not change.

    Args:
        prepared: the run.
        plan: its steps.
    """
    method, data = prepared.method, prepared.dataset
    size = settled(prepared.config.optimiser.batch_size, "optimiser.batch_size")
    source = _uncached(prepared)
    rows = client_indices(data.train)[0][:size]
    reading = min(_seconds(lambda: source.batch(rows)) for _ in range(2))
    batch = source.batch(rows).to(method.clip.device)
    cached = method.reads != "pixels" and prepared.config.compute.feature_cache

    def forward() -> None:
        with method.evaluating():
            method(batch).sum().item()

    def step() -> None:
        method.zero_grad()
        loss = method.loss(batch)
        loss.backward()
        loss.item()

    a_step = min(_seconds(step) for _ in range(STEPS)) if plan.steps else 0.0
    method.zero_grad()
    validation = min(_seconds(forward) for _ in range(2)) * len(data.validation) / len(rows)
    images = sum(len(split) for split in data.splits())
    return Expected(
        encoding=reading / len(rows) * images if cached else 0.0,
        training=plan.steps * (a_step + (0 if cached else reading)) + plan.rounds * validation,
    )


def _uncached(prepared: Prepared) -> BatchSource:
    method, config, split = prepared.method, prepared.config, prepared.dataset.train
    if method.reads == "pixels":
        return PixelSource(split, method.clip.preprocess.transform())
    return EncodedImages(
        split, Encoding.of(method.clip, method.reads, config.backbone.patch_source, config.compute.feature_type)
    )


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
