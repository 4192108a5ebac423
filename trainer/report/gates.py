"""Statistics of the gate weights over the test images. Shape letters: n images, N conditions, C labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.data.batches import BatchSource
from trainer.evaluation.measuring import EVALUATION_BATCH
from trainer.inference.model import numbered
from trainer.methods.base import Method

SPREAD = (0.05, 0.95)
"""Quantiles of the band that the page draws."""


def gate_summary(method: Method, features: BatchSource) -> dict[str, Any] | None:
    """Mean and spread of each condition's weight, and its mean over the images of each label.

    Returns:
        `conditions`: N rows of name, mean, standard deviation and band; `labels`: rows of name, number of images and N
        mean weights, for labels with test images; `uniform`: 1/N; `scale`: the largest deviation from a condition's
        overall mean. None if the method has no conditions.
    """
    weights = _weights(method, features)
    if weights is None:
        return None
    names = method.describe()["conditions"]
    ends = torch.quantile(weights, torch.tensor(SPREAD), dim=0)
    mean, deviation = weights.mean(0), weights.std(0, correction=0)
    present = torch.from_numpy(features.labels == 1).float()
    counts = present.sum(0)
    by_label = (present.T @ weights) / counts.clamp_min(1)[:, None]
    kept = [c for c in range(len(method.label_names)) if counts[c] > 0]
    distances = [abs(float(value)) for c in kept for value in by_label[c] - mean]
    return {
        "conditions": [
            {"name": name, "mean": m, "deviation": d, "low": low, "high": high}
            for name, m, d, low, high in zip(
                numbered(names), mean.tolist(), deviation.tolist(), *ends.tolist(), strict=True
            )
        ],
        "labels": [
            {"name": method.label_names[c], "images": int(counts[c]), "weights": by_label[c].tolist()} for c in kept
        ],
        "uniform": 1 / len(names),
        "scale": max([*distances, 1e-9]),
    }


def _weights(method: Method, features: BatchSource) -> Tensor | None:
    """(n, N), None if the method has no gate."""
    found = []
    with method.evaluating():
        text = method.text_features()
        for batch in features.batches(EVALUATION_BATCH):
            gate = method.evidence(batch.to(method.clip.device), text).gate
            if gate is None:
                return None
            found.append(gate.cpu())
    return torch.cat(found)
