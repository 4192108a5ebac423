"""Losses. Shape letters: B images, C labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6
"""Lower bound of probabilities inside a logarithm."""


def asymmetric_loss(
    logits: Tensor, labels: Tensor, *, gamma_negative: float, gamma_positive: float, clip: float
) -> Tensor:
    """Asymmetric loss on sigmoid probabilities, summed over images and labels (Ridnik et al., ICCV 2021).

    The focusing factor (1 - p_t)^γ is detached from the gradient, as in published prompt-tuning code.

    Args:
        logits: (B, C).
        labels: (B, C); 1 present, 0 absent, negative unknown. Unknown labels contribute no loss.
        gamma_negative: γ₋, focusing exponent of absent labels.
        gamma_positive: γ₊, focusing exponent of present labels.
        clip: probability margin, added to the probability of "absent", which is then clamped to 1.

    Returns:
        A scalar.
    """
    present = logits.sigmoid()
    absent = (1 - present + clip).clamp(max=1)
    positive = (labels > 0).to(logits.dtype)
    known = (labels >= 0).to(logits.dtype)
    likelihood = positive * present.clamp_min(EPS).log() + (1 - positive) * absent.clamp_min(EPS).log()
    p_t = (positive * present + (1 - positive) * absent).detach()
    gamma = gamma_positive * positive + gamma_negative * (1 - positive)
    return -(known * likelihood * (1 - p_t) ** gamma).sum()


def contrastive_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Multi-matching contrast (RAM, Tan et al., CVPR 2025): minus the mean log-softmax of the present labels.

    The softmax is over all images and labels of the batch. Unknown labels have no part in it.

    Args:
        logits: (B, C).
        labels: (B, C); 1 present, 0 absent, negative unknown.

    Returns:
        A scalar; 0 if no label is present.
    """
    positive = labels > 0
    # The lowest number instead of minus infinity, which has no gradient where nothing is known.
    known = logits.masked_fill(labels < 0, torch.finfo(logits.dtype).min)
    likelihood = known.flatten().log_softmax(0).view_as(logits)
    return -torch.where(positive, likelihood, 0).sum() / positive.sum().clamp_min(1)


def inconsistency(text: Tensor, frozen: Tensor) -> Tensor:
    """1 minus the mean cosine between learned and frozen text features (C, D), which keeps prompts near CLIP's own.

    The term of KgCoOp (Yao et al., CVPR 2023), which several later methods took over. A scalar.
    """
    return 1 - F.cosine_similarity(text, frozen, dim=-1).mean()
