"""Stream image files through a model, with prefetching; at most two batches are in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from trainer.data.images import UnreadableImage
from trainer.inference.model import BATCH, Model, chunks

READERS = 4
"""Threads that decode images; Pillow and torch release the GIL."""


@dataclass(frozen=True)
class Prediction:
    """The probabilities of an image.

    Attributes:
        path: its file.
        probabilities: (C,) in [0, 1], in the order of the model's labels.
    """

    path: Path
    probabilities: np.ndarray


def stream(model: Model, paths: Iterable[Path], batch: int = BATCH) -> Iterator[Prediction | UnreadableImage]:
    """A prediction for each file, in order; for unreadable files the error instead."""
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[list[tuple[Path, Future[Tensor]]]] = deque()
        for part in chunks(paths, batch):
            ahead.append([(path, pool.submit(model.tensor, path)) for path in part])
            if len(ahead) == 2:
                yield from _scored(model, ahead.popleft())
        while ahead:
            yield from _scored(model, ahead.popleft())


def _scored(model: Model, part: list[tuple[Path, Future[Tensor]]]) -> Iterator[Prediction | UnreadableImage]:
    outcomes: list[Tensor | UnreadableImage] = []
    for _, future in part:
        try:
            outcomes.append(future.result())
        except UnreadableImage as error:
            outcomes.append(error)
    readable = [outcome for outcome in outcomes if isinstance(outcome, Tensor)]
    rows = iter(model.probabilities(readable) if readable else ())
    for (path, _), outcome in zip(part, outcomes, strict=True):
        yield outcome if isinstance(outcome, UnreadableImage) else Prediction(path, next(rows))
