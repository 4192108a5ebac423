"""A trained model for predictions and explanations.

Shape letters: B images, M patches, N conditions, C labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.data.base import UNKNOWN
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.data.images import read_image
from trainer.errors import RunFailed, unknown_name
from trainer.heads.evidence import Evidence
from trainer.inference.explanation import ConditionShare, Explanation, LabelEvidence
from trainer.methods.base import Method

BATCH = 32
"""Default batch size; affects memory only."""

T = TypeVar("T")

ImageLike = Image.Image | str | Path


class Model:
    """A trained model, as returned by `trainer.load`.

    Args:
        method: with trained parameters.
        text: the labels' text features, see `Method.text_features`.
        threshold: on the probability, chosen on validation images.
        source: the model's origin, for records.

    Attributes:
        labels: C names.
        conditions: N texts; None if the method has no conditions.
        threshold: labels with a larger probability count as present.
    """

    def __init__(self, method: Method, text: Tensor, threshold: float, source: dict[str, Any]) -> None:
        self.method = method.eval()
        self.text = text.to(method.clip.device)
        self.threshold = threshold
        self.source = source
        self.labels = method.label_names
        described = method.describe().get("conditions")
        self.conditions: tuple[str, ...] | None = None if described is None else tuple(described)
        self.patch_source = source["patch_source"]

    def predict(self, images: Iterable[ImageLike], batch: int = BATCH) -> list[dict[str, float]]:
        """Probabilities of all labels for each image.

        Args:
            images: PIL images, or paths of image files, which are read lazily.
            batch: batch size.

        Returns:
            For each image {label: probability}, in the order of `labels`.

        Raises:
            UnreadableImage: a file that cannot be read.
        """
        tensors = (self.tensor(image) for image in images)
        rows = (row for part in chunks(tensors, batch) for row in self.probabilities(part))
        return [dict(zip(self.labels, row.tolist(), strict=True)) for row in rows]

    def tensor(self, image: ImageLike) -> Tensor:
        """An image as the backbone's input, (3, H, W)."""
        opened = image if isinstance(image, Image.Image) else read_image(Path(image))
        pixels: Tensor = self.method.clip.image_tensor(opened)
        return pixels

    def probabilities(self, tensors: Sequence[Tensor]) -> np.ndarray:
        """(B, C) float32 in [0, 1], from B results of `tensor`.

        Raises:
            RunFailed: the model's weights give numbers that are not finite.
        """
        with self.method.evaluating(self.text):
            found: np.ndarray = self.method(self._batch(tensors)).sigmoid().cpu().numpy()
        if not np.isfinite(found).all():
            raise RunFailed("the model gives probabilities that are not numbers: its weights are damaged, or diverged")
        return found

    def explain(self, image: ImageLike, labels: Sequence[str] | None = None) -> Explanation:
        """Explain the labels of an image by patches and conditions.

        Args:
            image: a PIL image, or the path of an image file.
            labels: names of labels; None for those above the threshold, the most probable first.

        Raises:
            UnreadableImage: a file that cannot be read.
            TrainerError: a label that the model does not have.
        """
        for name in labels or ():
            if name not in self.labels:
                raise unknown_name("label", name, list(self.labels))
        opened = image if isinstance(image, Image.Image) else read_image(Path(image))
        batch = self._batch([self.tensor(opened)])
        with self.method.evaluating(self.text):
            logits = self.method(batch)[0].cpu()
            evidence = self.method.evidence(batch, self.text).cpu()
            added = self._context(batch)
        probabilities = logits.sigmoid()
        if labels is None:
            order = probabilities.argsort(descending=True, stable=True).tolist()
            chosen = [c for c in order if probabilities[c] > self.threshold]
        else:
            chosen = [self.labels.index(name) for name in labels]
        return Explanation(
            image=opened.convert("RGB"),
            window=self.method.clip.preprocess.window(*opened.size),
            places_are=evidence.places_are,
            gate=self._gate(evidence),
            labels=tuple(
                replace(
                    self._label(evidence, c, float(logits[c]), float(probabilities[c])),
                    context=None if added is None else float(added[c]),
                )
                for c in chosen
            ),
        )

    def _batch(self, tensors: Sequence[Tensor]) -> Batch:
        clip = self.method.clip
        pixels = torch.stack(list(tensors)).to(clip.device)
        unknown = torch.full((len(tensors), len(self.labels)), float(UNKNOWN), device=clip.device)
        encoding = Encoding.of(clip, self.method.reads, self.patch_source)
        return batch_of_pixels(self.method.reads, encoding, pixels, unknown)

    def _context(self, batch: Batch) -> Tensor | None:
        """(C,) the context term of an image; None if the method has none."""
        if self.method.context_term is None:
            return None
        return self.method.context_term(batch, self.method.logits(batch, self.text))[0].cpu()

    def _gate(self, evidence: Evidence) -> dict[str, float] | None:
        if evidence.gate is None or self.conditions is None:
            return None
        return dict(zip(numbered(self.conditions), evidence.gate[0].tolist(), strict=True))

    def _label(self, evidence: Evidence, column: int, logit: float, probability: float) -> LabelEvidence:
        places = None
        if evidence.places is not None:
            places = evidence.places[0, :, column].reshape(self.method.clip.model.visual.grid_size).numpy()
        shares = None
        if evidence.gate is not None and evidence.scores is not None and evidence.shares is not None:
            values = (evidence.gate[0], evidence.scores[0, :, column], evidence.shares[0, :, column])
            rows = zip(numbered(self.conditions or ()), *(v.tolist() for v in values), strict=True)
            shares = tuple(ConditionShare(*row) for row in rows)
        return LabelEvidence(self.labels[column], probability, logit, places, shares)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def numbered(conditions: Iterable[str]) -> Iterator[str]:
    """Distinct names for condition texts; empty texts of controls become "(no words 1)", "(no words 2)" and so on."""
    for index, text in enumerate(conditions):
        yield text or f"(no words {index + 1})"
