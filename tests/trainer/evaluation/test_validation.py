"""The strength of the context term is chosen on validation images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tests.trainer.tiny import bank_with_affinities, method_context, random_batch, random_clip
from trainer.data.batches import Batch
from trainer.evaluation.measuring import measure
from trainer.evaluation.validation import STRENGTHS, validate
from trainer.heads.context import UNCHOSEN
from trainer.methods.base import Method
from trainer.methods.registry import build, settings_classes

CLIP = random_clip()


@dataclass(frozen=True)
class Images:
    """A `BatchSource` of one batch."""

    whole: Batch

    @property
    def labels(self) -> np.ndarray:
        return self.whole.labels.numpy().astype(np.int8)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(map(str, range(len(self.whole.labels))))

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        return Batch(*(None if part is None else part[indices] for part in self.whole))

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self.labels), size):
            yield self.batch(np.arange(start, min(start + size, len(self.labels))))


def made(name: str = "zero-shot", **settings: Any) -> Method:
    config = settings_classes()[name].model_validate({"context": "bank", **settings})
    return build(name, method_context(config, bank_with_affinities(), CLIP))


def images_whose_labels_are(method: Method, strength: float) -> Images:
    """Images with the labels that a method finds at a strength."""
    batch = random_batch(CLIP, 60)
    assert method.context_term is not None
    method.context_term.strength.fill_(strength)
    logits = method(batch)
    labels = (logits > logits.median(0).values).float()
    return Images(batch._replace(labels=labels))


def test_the_best_strength_is_chosen_and_is_part_of_the_state() -> None:
    for strength in (0.0, 0.3, 1.0):
        method = made()
        images = images_whose_labels_are(method, strength)
        found = validate(method, images)
        assert found.mAP == measure(method, images).mAP
        each = {}
        assert method.context_term is not None
        for tried in STRENGTHS:
            fixed = made(context_strength=tried)
            each[tried] = measure(fixed, images).mAP
        assert found.mAP == max(each.values(), key=lambda value: value or 0)
        chosen = float(method.context_term.strength[0])
        torch.testing.assert_close(chosen, max(each, key=lambda tried: each[tried] or 0))
        assert torch.equal(method.exchanged()["context_term.strength"], method.context_term.strength)


def test_without_positives_it_is_left_at_the_default() -> None:
    method = made()
    images = images_whose_labels_are(method, 1.0)
    empty = Images(images.whole._replace(labels=torch.zeros_like(images.whole.labels)))
    assert validate(method, empty).mAP is None
    assert method.context_term is not None
    torch.testing.assert_close(method.context_term.strength, torch.full_like(method.context_term.strength, UNCHOSEN))


def test_a_strength_in_the_settings_is_kept() -> None:
    method = made(context_strength=0.7)
    images = images_whose_labels_are(made(), 0.0)
    assert validate(method, images).mAP == measure(method, images).mAP
    assert method.context_term is not None
    assert float(method.context_term.strength[0]) == torch.tensor(0.7).item()
    assert method.chosen_on_validation() == {}
