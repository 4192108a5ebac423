"""Examples of correct and wrong predictions on test images, with explanations. Shape letters: n images, C labels."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from trainer.data.batches import BatchSource
from trainer.evaluation.measuring import scores
from trainer.inference.explanation import LabelEvidence
from trainer.inference.heat import layer
from trainer.inference.model import Model
from trainer.preparing import Prepared

EACH = 4
"""Number of examples without wrong decisions, and of those with the most."""

LABELS = 5
"""Maximum number of labels shown per image, the most probable first."""

WIDTH = 192
"""Width of an image on the page in pixels."""


def examples(prepared: Prepared, model: Model) -> dict[str, list[dict[str, Any]]]:
    """`right`: images with several labels and no wrong decision; `wrong`: images with the most wrong decisions."""
    features = prepared.features(prepared.dataset.test)
    logits, labels = scores(prepared.method, features)
    predicted = logits.sigmoid() > model.threshold
    wrong = ((predicted != (labels == 1)) & (labels >= 0)).sum(1)
    several = (labels == 1).sum(1) >= 2
    right = torch.nonzero((wrong == 0) & several).flatten()[:EACH].tolist()
    worst = [i for i in wrong.argsort(descending=True, stable=True)[:EACH].tolist() if wrong[i]]
    return {
        "right": [_example(prepared, model, features, index) for index in right],
        "wrong": [_example(prepared, model, features, index) for index in worst],
    }


def _example(prepared: Prepared, model: Model, features: BatchSource, index: int) -> dict[str, Any]:
    truth = features.labels[index]
    image = prepared.dataset.test.image(index).convert("RGB")
    probabilities = model.predict([image])[0]
    shown = [c for c, name in enumerate(model.labels) if probabilities[name] > model.threshold or truth[c] == 1]
    shown = sorted(shown, key=lambda c: -probabilities[model.labels[c]])[:LABELS]
    found = model.explain(image, [model.labels[c] for c in shown])
    left, top, width, height = (100 * share for share in found.window)
    return {
        "id": features.ids[index],
        "image": _uri(image.resize((WIDTH, max(1, round(WIDTH * image.height / image.width))))),
        "aspect": image.width / image.height,
        "square": {"left": left, "top": top, "width": width, "height": height},
        "labels": [
            _label(evidence, int(truth[c]), model.threshold) for evidence, c in zip(found.labels, shown, strict=True)
        ],
    }


def _label(evidence: LabelEvidence, truth: int, threshold: float) -> dict[str, Any]:
    above = evidence.probability > threshold
    verdicts = {(True, 1): "found", (True, 0): "wrong", (True, -1): "not annotated", (False, 1): "missed"}
    return {
        "name": evidence.label,
        "probability": evidence.probability,
        "verdict": verdicts[above, truth],
        "map": None if evidence.places is None else _uri(layer(np.asarray(evidence.places))),
        "conditions": sorted(evidence.conditions or (), key=lambda share: -share.adds),
        "logit": evidence.logit,
    }


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
