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
    """A trained model for inference, from a run's folder or from an exported one; no training data is needed.

        model = trainer.load("my-model")
        model.predict(["photo.jpg"])    # [{"cat": 0.93, …}]
        model.explain("photo.jpg")      # where, and which conditions spoke for it

    Args and errors: see `trainer.inference.load.load`. torch is imported by this call, not by `import trainer`.
    """
    from trainer.inference.load import load as read

    return read(path, device=device, checkpoint=checkpoint, backbone=backbone, client=client)
