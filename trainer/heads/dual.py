"""Scores of a label's positive prompt against its negative prompt (DualCoOp, Sun et al., NeurIPS 2022).

Shape letters: B images, L tokens of the image tower, C labels, D joint width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.heads.regions import RELEASED_LOGIT, RegionPooling, pool_regions


def dual_pooling(features: Tensor, text: Tensor) -> RegionPooling:
    """Pool the difference of the cosines with a label's positive and negative text.

    Both are pooled with the positive's weights, so that they are compared at the same places.

    Args:
        features: (B, L, D), not normalised.
        text: (2, C, D), the negatives and the positives; not normalised.

    Returns:
        Weights (B, C, L), and the pooled differences (B, C).
    """
    negative, positive = text
    weights, scores = pool_regions(features, positive, "channels")
    cosines = torch.einsum("bld,cd->bcl", F.normalize(features, dim=-1), F.normalize(negative, dim=-1))
    return RegionPooling(weights, scores - (weights * cosines).sum(-1))


def dual_logits(features: Tensor, text: Tensor) -> Tensor:
    """(B, C), for inputs as of `dual_pooling`; sigmoid is the softmax over a label's two scores, at "positive"."""
    return RELEASED_LOGIT.scale * dual_pooling(features, text).scores
