"""Scores of the image feature or of the best patch. Shape letters: B images, M patches, C labels, D joint width."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.data.batches import Batch
from trainer.heads.evidence import WHOLE_IMAGE, Evidence

Pooling = Literal["image", "max"]
"""Score of the image feature, or of the best patch."""

POOLED: dict[str, str] = {"image": "image feature", "max": "best patch"}
"""What the text is compared with, by pooling; shown to users."""


def pooled_cosine(batch: Batch, text: Tensor, pooling: Pooling) -> Tensor:
    """(B, C) cosines between the text features (C, D) and the image feature or the best patch."""
    if pooling == "image":
        return F.normalize(batch.image, dim=-1) @ text.T
    return (F.normalize(batch.patches, dim=-1) @ text.T).amax(dim=1)


def pooled_evidence(batch: Batch, text: Tensor, pooling: Pooling) -> Evidence:
    """The explanation of `pooled_cosine`: each label's best patch, or the image as a whole."""
    if pooling == "image":
        return Evidence(None, WHOLE_IMAGE, None, None, None)
    cosines = F.normalize(batch.patches, dim=-1) @ text.T
    best = F.one_hot(cosines.argmax(dim=1), cosines.shape[1]).transpose(1, 2).to(cosines)
    return Evidence(best, "the one patch that scores best", None, None, None)
