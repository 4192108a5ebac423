"""Federated multi-label prompt tuning of CLIP from a prompt bank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.inference.model import Model


def load(
    path: str | Path,
    *,
    device: str = "auto",
    checkpoint: str | None = None,
    backbone: str | None = None,
    client: int | None = None,
) -> Model:
    """Load a trained model for inference from a run folder or an exported model; no training data is needed.

        model = trainer.load("my-model")
        model.predict(["photo.jpg"])    # [{"cat": 0.93, …}]
        model.explain("photo.jpg")      # patch weights, and the contributions of the conditions

    For arguments and errors see `trainer.inference.load.load`. torch is imported here, not by `import trainer`.
    """
    from trainer.inference.load import load as read

    return read(path, device=device, checkpoint=checkpoint, backbone=backbone, client=client)
