"""Thousands of image files through a model: read ahead by a few threads, never more than two batches in memory."""

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
"""Threads that decode images; Pillow and torch let them run at once."""


@dataclass(frozen=True)
class Prediction:
    """One image's probabilities.

    Attributes:
        path: its file.
        probabilities: (C,) in [0, 1], in the order of the model's labels.
    """

    path: Path
    probabilities: np.ndarray


def stream(model: Model, paths: Iterable[Path], batch: int = BATCH) -> Iterator[Prediction | UnreadableImage]:
    """A prediction for each file, in order; in the place of a file that cannot be read its error."""
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
