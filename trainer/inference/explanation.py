"""What the labels of one image rest on, as data and as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from trainer.inference.heat import overlay


@dataclass(frozen=True)
class ConditionShare:
    """One condition's part in one label.

    Attributes:
        condition: its words.
        gate: its weight among the conditions of this image, in [0, 1].
        score: the label's score under this condition, a cosine.
        adds: what it adds to the label's logit; over the conditions these sum to the logit, less what the context adds.
    """

    condition: str
    gate: float
    score: float
    adds: float


@dataclass(frozen=True)
class LabelEvidence:
    """What one label rests on.

    Attributes:
        label: its name.
        probability: in [0, 1].
        logit: sigmoid of it is the probability.
        places: (rows, columns) of the patch grid; weights that sum to 1. None where the image was scored as a whole.
        conditions: N shares, None where the method has no conditions.
        context: what knowledge of conditions adds to the logit (`method.context`), None where none is used.
    """

    label: str
    probability: float
    logit: float
    places: np.ndarray | None
    conditions: tuple[ConditionShare, ...] | None
    context: float | None = None


@dataclass(frozen=True)
class Explanation:
    """What the labels of an image rest on.

    Attributes:
        image: the picture, RGB.
        places_are: what the weights of `LabelEvidence.places` are, or why there are none.
        gate: {condition: weight}, None where the method has no conditions.
        labels: the explained labels.
    """

    image: Image.Image
    places_are: str
    gate: dict[str, float] | None
    labels: tuple[LabelEvidence, ...]

    def heat_map(self, label: str, size: int = 768) -> Image.Image | None:
        """The picture with the label's places laid over it, its longer side at most `size` pixels.

        None where the method has no places.

        Raises:
            KeyError: a label that was not explained.
        """
        places = {found.label: found.places for found in self.labels}[label]
        return None if places is None else overlay(self.image, places, size)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; places by rows, as they lie on the centred square of the picture that the model sees."""
        return {
            "places_are": self.places_are,
            "conditions_are": "weighed by the gate" if self.gate is not None else "this method has no conditions",
            "gate": self.gate,
            "labels": [
                {
                    "label": found.label,
                    "probability": found.probability,
                    "logit": found.logit,
                    "places": None if found.places is None else found.places.round(6).tolist(),
                    "conditions": None if found.conditions is None else [vars(share) for share in found.conditions],
                    "context": found.context,
                }
                for found in self.labels
            ],
        }
