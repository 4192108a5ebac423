"""Explanations of an image's labels, as data and as heat maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from trainer.inference.heat import Window, overlay


@dataclass(frozen=True)
class ConditionShare:
    """A condition's contribution to a label.

    Attributes:
        condition: its text.
        gate: its gate weight for this image, in [0, 1].
        score: the label's score under this condition, a cosine.
        adds: its contribution to the label's logit; the contributions of all conditions, plus the context's, sum to the
            logit.
    """

    condition: str
    gate: float
    score: float
    adds: float


@dataclass(frozen=True)
class LabelEvidence:
    """The explanation of a label.

    Attributes:
        label: its name.
        probability: in [0, 1].
        logit: of the probability.
        places: (rows, columns) patch weights that sum to 1; None if the image is scored as a whole.
        conditions: the contributions of N conditions; None if the method has no conditions.
        context: the contribution of the context term (`method.context`) to the logit; None if there is none.
    """

    label: str
    probability: float
    logit: float
    places: np.ndarray | None
    conditions: tuple[ConditionShare, ...] | None
    context: float | None = None


@dataclass(frozen=True)
class Explanation:
    """The explanation of an image's labels.

    Attributes:
        image: the RGB image.
        window: the square that the model sees, as fractions of the image's sides (`Preprocess.window`).
        places_are: the meaning of the weights `LabelEvidence.places`, or why there are none.
        gate: gate weights by condition; None if the method has no conditions.
        labels: the explained labels.
    """

    image: Image.Image
    window: Window
    places_are: str
    gate: dict[str, float] | None
    labels: tuple[LabelEvidence, ...]

    def heat_map(self, label: str, size: int = 768) -> Image.Image | None:
        """The image overlaid with a heat map of the label's patch weights; its longer side has at most `size` pixels.

        None if the method has no patch weights.

        Raises:
            KeyError: a label that is not explained.
        """
        places = {found.label: found.places for found in self.labels}[label]
        return None if places is None else overlay(self.image, places, self.window, size)

    def to_dict(self) -> dict[str, Any]:
        """For JSON. Patch weights are given by rows; they cover the square that the model sees, `window`."""
        return {
            "places_are": self.places_are,
            "window": list(self.window),
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
