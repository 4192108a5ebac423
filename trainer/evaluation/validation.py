"""Validation after a round: metrics, and the choice of what is chosen on validation images.

Shape letters: n images, C labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.data.batches import BatchSource
from trainer.evaluation.measuring import EVALUATION_BATCH, measure, on_seen_labels
from trainer.evaluation.metrics import Metrics, compute_metrics
from trainer.heads.context import UNCHOSEN, ContextTerm
from trainer.methods.base import Method

STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.6, 1.0)
"""The strengths of the context term (η) that are tried; the smallest of equally good ones is chosen."""


def validate(method: Method, features: BatchSource) -> Metrics:
    """The metrics over the seen labels at threshold 0.5, with the context term's strength chosen by mAP.

    The method's state changes only if its settings leave the strength to be chosen (`context_strength=auto`).
    """
    term = method.context_term
    if term is None or not term.chosen:
        return measure(method, features)
    found: dict[float, Metrics] = {}
    labels = torch.from_numpy(features.labels).long()
    for strength, logits in zip(STRENGTHS, _logits_by_strength(method, term, features), strict=True):
        found[strength] = compute_metrics(*on_seen_labels((logits, labels), method.seen), 0.5)
    known = {strength: metrics.mAP for strength, metrics in found.items() if metrics.mAP is not None}
    best = max(known, key=lambda strength: known[strength]) if known else UNCHOSEN
    term.strength.fill_(best)
    return found[best]


def _logits_by_strength(method: Method, term: ContextTerm, features: BatchSource) -> Iterator[Tensor]:
    """Logits (n, C) at each of `STRENGTHS`, on the CPU; those without context are computed once."""
    parts: list[list[Tensor]] = [[] for _ in STRENGTHS]
    with method.evaluating():
        for batch in features.batches(EVALUATION_BATCH):
            on_device = batch.to(method.clip.device)
            logits = method.logits(on_device, method.current_text())
            for strength, collected in zip(STRENGTHS, parts, strict=True):
                term.strength.fill_(strength)
                collected.append((logits + term(on_device, logits)).cpu())
    return map(torch.cat, parts)
