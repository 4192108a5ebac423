"""A CLIP small enough for tests, with random weights, and the parity fixtures' one."""

from __future__ import annotations

import json
from typing import Any

import open_clip
import torch

from tests.shared import shared
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.backbone.load import fill

PREPROCESS = Preprocess(32, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))


def random_clip(seed: int = 0, dtype: torch.dtype = torch.float32) -> FrozenClip:
    """Two layers, width 32, 16 patches, the stock vocabulary."""
    config: dict[str, Any] = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.model.CLIP(**config)
    return FrozenClip(model.to(dtype), open_clip.SimpleTokenizer(), PREPROCESS, "random-tiny")


def fixture_clip() -> FrozenClip:
    """The CLIP with which the parity fixtures were computed."""
    described = json.loads(shared("fixtures/tinyclip.json").read_text())
    config = {key: described[key] for key in ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")}
    model = open_clip.model.CLIP(**config)
    fill(model, shared("fixtures/tinyclip.safetensors"))
    return FrozenClip(model, open_clip.SimpleTokenizer(), PREPROCESS, "fixture-tiny")
