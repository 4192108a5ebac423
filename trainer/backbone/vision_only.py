"""A CLIP without its text tower, for inference with precomputed text features."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from trainer.backbone.architectures import architecture, tokenizer
from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.backbone.tensor_files import check_like, read_tensors
from trainer.errors import TrainerError


class VisionClip(FrozenClip):
    """A FrozenClip that encodes images only; its text tower has no weights.

    Methods can be constructed on it: embeddings and text features are NaN, so that a result computed from them cannot
    be mistaken for a valid one. The real text features are loaded with the model's weights.
    """

    def embed(self, ids: list[int]) -> Tensor:
        """(T, Dt), all NaN."""
        return torch.full((len(ids), self.text_width), math.nan, device=self.device)

    def encode_tokens(self, embedded: Tensor, eot: Tensor) -> NoReturn:
        """Not available without a text tower.

        Raises:
            TrainerError: always.
        """
        raise TrainerError(f"{self.name} is here without its text tower: text features come with the exported model")

    def encode_texts(self, texts: list[str]) -> Tensor:
        """(C, D), all NaN."""
        return torch.full((len(texts), self.dim), math.nan, device=self.device)


def load_vision(name: str, path: Path, preprocess: Preprocess, device: torch.device | str = "cpu") -> VisionClip:
    """Load an image tower from a file of `FrozenClip.vision_weights`.

    Args:
        name: one of `architecture_names`.
        path: a .safetensors file.
        preprocess: the preprocessing that the tower expects.
        device: of the tower.

    Raises:
        TrainerError: the file is missing, is not safetensors, or has the weights of another architecture.
    """
    import open_clip

    weights = read_tensors(path)
    with torch.device("meta"):
        model = open_clip.model.CLIP(**architecture(name))
    own = {key: value for key, value in model.state_dict().items() if key.startswith("visual.") or key == "logit_scale"}
    if difference := check_like(weights, own):
        raise TrainerError(f"{path}: the weights are not those of {name}'s image tower (the file {difference})")
    weights = {key: value.to(device, own[key].dtype) for key, value in weights.items()}
    scale = weights.pop("logit_scale")
    model.visual.load_state_dict({key.removeprefix("visual."): v for key, v in weights.items()}, assign=True)
    model.logit_scale = nn.Parameter(scale)
    return VisionClip(model, tokenizer(name), preprocess, name)
