"""Patches matched to labels by transport, to whose cost a frozen teacher adds in training (RAM, Tan et al., CVPR 2025).

Shape letters: B images, M patches, C labels.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from trainer.heads.matching import MatchingConfig, transport

TEACHER_SCALE = 20.0
"""Scale of the softmax over patches in `teacher_cost`."""


class TaughtMatching:
    """Local logits: the similarities that the plan moves, over a temperature.

    Args:
        patches: M.
        entropy: λ of the transport.
        teacher: weight of the teacher in the cost, and addition to λ, where a teacher is given.
        temperature: of the local logits.
        stop: see `MatchingConfig.stop`.
    """

    def __init__(
        self,
        patches: int,
        *,
        entropy: float,
        teacher: float,
        temperature: float,
        stop: Literal["marginal", "published"],
    ) -> None:
        self.teacher, self.temperature = teacher, temperature
        self.settings = MatchingConfig(
            matching="transport", entropy=entropy, iterations=100, stop=stop, differentiate_plan=False
        )
        self.taught = self.settings.model_copy(update={"entropy": entropy + teacher})
        self.teacher_range = teacher * teacher_range(patches)

    def __call__(self, similarity: Tensor, scale: float, taught: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Local logits (B, C) and the plan (B, M, C), which has no gradient.

        Args:
            similarity: cosines (B, 1, M, C).
            scale: κ, CLIP's logit scale.
            taught: the teacher's cost, see `added_cost`; None outside training.
        """
        with torch.no_grad():
            if taught is None:
                plan = transport(similarity, scale, self.settings).plan
            else:
                plan = transport(similarity, scale, self.taught, taught, self.teacher_range).plan
        return (plan * similarity).sum(-2)[:, 0] / self.temperature, plan[:, 0]

    @torch.no_grad()
    def added_cost(self, similarity: Tensor, absent: Tensor, scale: float) -> Tensor:
        """The cost (B, 1, M, C) that the teacher adds; for the arguments see `teacher_cost`."""
        return self.teacher * teacher_cost(similarity, absent, scale)[:, None]


def teacher_cost(similarity: Tensor, absent: Tensor, scale: float) -> Tensor:
    """The cost -log D of a frozen teacher (RAM, Tan et al., CVPR 2025), low where it sees a label that is not absent.

    D = softmax_m(20 softmax_c(κ s)); of absent labels, the batch's smallest D.

    Args:
        similarity: s of the teacher, (B, M, C), cosines.
        absent: (B, C) bool.
        scale: κ.

    Returns:
        (B, M, C).
    """
    log_shares = (TEACHER_SCALE * (scale * similarity).softmax(-1)).log_softmax(1)
    return -torch.where(absent[:, None], log_shares.min(), log_shares)


def teacher_range(patches: int) -> float:
    """An upper bound of `teacher_cost`, whose lower bound is 0."""
    return TEACHER_SCALE + math.log(patches)
