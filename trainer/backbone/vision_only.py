"""A CLIP without its text tower, for inference with precomputed text features."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.backbone.load import SHIPPED, read_weights
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


def architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration of a backbone: "scenes-tiny", or a model of open_clip."""
    if name == SHIPPED:
        from trainer.backbone import scenes_tiny

        return copy.deepcopy(scenes_tiny.CONFIG)
    import open_clip

    return dict(open_clip.get_model_config(name))


def load_vision(
    name: str, config: dict[str, Any], path: Path, preprocess: Preprocess, device: torch.device | str = "cpu"
) -> VisionClip:
    """Load an image tower from a file of `FrozenClip.vision_weights`.

    Args:
        name: the backbone's name.
        config: its `architecture`.
        path: a .safetensors file.
        preprocess: the preprocessing that the tower expects.
        device: of the tower.

    Raises:
        TrainerError: the file is missing, is not safetensors, or has the weights of another architecture.
    """
    import open_clip

    weights = {key: value.to(device) for key, value in read_weights(path).items()}
    try:
        with torch.device("meta"):
            model = open_clip.model.CLIP(**copy.deepcopy(config))
        scale = weights.pop("logit_scale")
        model.visual.load_state_dict({key.removeprefix("visual."): v for key, v in weights.items()}, assign=True)
    except (RuntimeError, KeyError, TypeError) as error:
        said = str(error).splitlines()[0]
        raise TrainerError(f"{path}: the weights are not those of {name}'s image tower ({said})") from error
    model.logit_scale = nn.Parameter(scale)
    tokenizer = open_clip.SimpleTokenizer() if name == SHIPPED else open_clip.get_tokenizer(name)
    return VisionClip(model, tokenizer, preprocess, name)
