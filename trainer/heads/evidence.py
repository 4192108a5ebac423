"""Explanations of scores. Shape letters: B images, M patches, N conditions, C labels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Evidence(NamedTuple):
    """Explanation of the scores of B images by patches and conditions."""

    places: Tensor | None
    """(B, M, C), each patch's weight in a label's score; sums to 1 over patches. None if the image is scored as a
    whole."""
    places_are: str
    """What the patch weights mean, or why there are none; shown to users."""
    gate: Tensor | None
    """g: (B, N), the weights of the conditions; sums to 1. None if the method has no conditions."""
    shares: Tensor | None
    """(B, N, C), each condition's contribution to a label's logit; sums to `Method.logits` over conditions."""
    scores: Tensor | None
    """ψ: (B, N, C), the score under each condition, a cosine or a fraction of one."""

    def cpu(self) -> Evidence:
        """On the CPU."""
        places, gate, shares, scores = (
            None if part is None else part.cpu() for part in (self.places, self.gate, self.shares, self.scores)
        )
        return Evidence(places, self.places_are, gate, shares, scores)


WHOLE_IMAGE = "this method scores the image as a whole, so there is no place to show"
"""`Evidence.places_are` of a method without patch weights."""
