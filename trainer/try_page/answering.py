"""The answer to a picture: probabilities, conditions and patch weights of all labels, as JSON for the page.

Shape letters: M patches, N conditions, C labels.
"""

from __future__ import annotations

import base64
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from trainer.data.images import decode_image
from trainer.inference.explanation import Explanation, LabelEvidence
from trainer.inference.model import Model, numbered

MAX_PICTURE_BYTES = 64 * 2**20
"""The maximum size of a picture's file."""

DECODED_AT_ONCE = 2
"""Pictures that are decoded at the same time; a large one takes hundreds of megabytes."""

LONGEST = 640
"""Maximum length of a shown picture's longer side in pixels."""

LOSSLESS = 256
"""Pictures up to this size are shown as PNG, larger ones as JPEG."""


class Answerer:
    """Answers pictures with a model, from any number of threads; keeps none of them.

    Args:
        model: for the answers.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._decoding = threading.Semaphore(DECODED_AT_ONCE)
        # One thread for the model: a method holds its text features while it evaluates, and torch has its own threads.
        self._scoring = ThreadPoolExecutor(1)

    def warm_up(self) -> None:
        """Explain a grey picture, since the first one takes several times as long as the others."""
        side = self.model.method.clip.preprocess.size
        self._explain(Image.new("RGB", (side, side), "grey"))

    def describe(self) -> dict[str, Any]:
        """The model: where it is from, its C labels, N conditions (None if it has none), and threshold."""
        conditions = self.model.conditions
        return {
            "source": self.model.source,
            "labels": list(self.model.labels),
            "conditions": None if conditions is None else list(numbered(conditions)),
            "threshold": self.model.threshold,
            "max_bytes": MAX_PICTURE_BYTES,
        }

    def answer(self, content: bytes) -> dict[str, Any]:
        """The answer to a picture.

        Args:
            content: the picture's file.

        Returns:
            picture: it, as the model's reader turned it, as a data URI; size: its width and height; square: left, top,
            width and height of the part that the model sees, as fractions; probabilities and logits (C); gate (N);
            scores and adds (C, N), see `ConditionShare`; context (C), what the context term adds; places, see
            `_places`; seconds. What the method does not have is None, or an empty list.

        Raises:
            UnreadableImage: not an image, or a damaged one.
        """
        start = time.perf_counter()
        with self._decoding:
            image = decode_image("picture", content)
            found = self._explain(image)
            shown = _data_uri(image)
        shares = None if found.gate is None else [label.conditions or () for label in found.labels]
        context = [label.context for label in found.labels if label.context is not None]
        return {
            "picture": shown,
            "size": image.size,
            "square": found.window,
            "probabilities": [round(label.probability, 6) for label in found.labels],
            "logits": [round(label.logit, 4) for label in found.labels],
            "gate": None if found.gate is None else [round(weight, 6) for weight in found.gate.values()],
            "scores": shares and [[round(share.score, 6) for share in row] for row in shares],
            "adds": shares and [[round(share.adds, 6) for share in row] for row in shares],
            "context": context and [round(added, 6) for added in context],
            "places": _places(found.labels),
            "places_are": found.places_are,
            "seconds": round(time.perf_counter() - start, 4),
        }

    def _explain(self, image: Image.Image) -> Explanation:
        return self._scoring.submit(self.model.explain, image, self.model.labels).result()


def _places(labels: tuple[LabelEvidence, ...]) -> dict[str, Any] | None:
    """The patch weights of C labels: rows, columns, the largest weight of each label, and base64 of (C, M) bytes.

    A byte is a weight's share of the label's largest one, times 255. None if the image is scored as a whole.
    """
    maps = [label.places for label in labels if label.places is not None]
    if not maps:
        return None
    places = np.stack(maps)
    peaks = places.max(axis=(1, 2))
    strength = places / np.maximum(peaks, 1e-12)[:, None, None]
    return {
        "rows": places.shape[1],
        "columns": places.shape[2],
        "peaks": [round(float(peak), 6) for peak in peaks],
        "weights": base64.b64encode((255 * strength).round().astype(np.uint8).tobytes()).decode(),
    }


def _data_uri(image: Image.Image) -> str:
    """The picture as a data URI, at most LONGEST pixels long."""
    scale = min(1, LONGEST / max(image.size))
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    shown = image if scale == 1 else image.resize(size, reducing_gap=2)
    kind = "PNG" if max(shown.size) <= LOSSLESS else "JPEG"
    buffer = io.BytesIO()
    shown.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
