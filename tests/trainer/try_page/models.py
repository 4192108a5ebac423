"""Models on the random CLIP, which need no training, and pictures as files' contents."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.trainer.tiny import method_context, small_bank
from trainer.config.settings import Settings
from trainer.inference.model import Model
from trainer.methods.fedmpt import FedMptConfig
from trainer.methods.registry import build

MARKUP = "<img src=x onerror=alert(1)>"
LABELS = ("cat", "dining table", "person", "sofa", "boat", "cup", MARKUP)


def small_model(settings: Settings | None = None, **changes: Any) -> Model:
    """A model of LABELS, by default of FedMPT; a label and a condition are markup.

    Its threshold is such that about half of the labels of the first picture are above it.
    """
    chosen = settings or FedMptConfig(rank=4, **changes)
    bank = small_bank(conditions=("background", "<b>pose</b>", "light"), labels=LABELS)
    method = build(chosen.name, method_context(chosen, bank, labels=LABELS))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the start, where adapters and gate do nothing
        for parameter in method.parameters():
            if parameter.requires_grad and parameter.ndim > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        text = method.text_features()
    source = {"run": "small", "title": "of a test", "rounds": 2, "backbone": "random-tiny", "patch_source": "last"}
    model = Model(method, text, 0.5, source)
    model.threshold = round(float(np.median(list(model.predict([picture()])[0].values()))), 2)
    return model


def picture(seed: int = 0, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A blurred random picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def content(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The content of a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
