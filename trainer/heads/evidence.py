"""What a score rests on. Shape letters: B images, M patches, N conditions, C labels."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Evidence(NamedTuple):
    """What the scores of B images rest on: which patches, and which conditions."""

    places: Tensor | None
    """(B, M, C); the weights with which the patches enter a label's score, summing to 1 over them. None where the
    image was scored as a whole."""
    places_are: str
    """What the weights are, or why there are none, in a reader's words."""
    gate: Tensor | None
    """g: (B, N), the conditions' weights, summing to 1; None where the method has no conditions."""
    shares: Tensor | None
    """(B, N, C); what each condition adds to a label's logit, summing to `Method.logits` over the conditions."""
    scores: Tensor | None
    """ψ: (B, N, C), each condition's own score, a cosine or a share of one."""

    def cpu(self) -> Evidence:
        """On the CPU."""
        places, gate, shares, scores = (
            None if part is None else part.cpu() for part in (self.places, self.gate, self.shares, self.scores)
        )
        return Evidence(places, self.places_are, gate, shares, scores)


WHOLE_IMAGE = "this method scores the image as a whole, so there is no place to show"
"""`Evidence.places_are` of a method without places."""
