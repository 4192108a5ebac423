"""A CLIP without its text tower, for inference with text features that were computed before."""

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
    """A FrozenClip whose text tower has no weights: it encodes images only.

    Methods can be built on it. The embeddings and text features that they start from are NaN, so that nothing computed
    from them could pass for a text feature; a model's own come with its weights.
    """

    def embed(self, ids: list[int]) -> Tensor:
        """(T, Dt), all NaN."""
        return torch.full((len(ids), self.text_width), math.nan, device=self.device)

    def encode_tokens(self, embedded: Tensor, eot: Tensor) -> NoReturn:
        """There is no text tower.

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
    """The image tower of a CLIP from the file that `FrozenClip.vision_weights` was saved to.

    Args:
        name: the backbone's name.
        config: its `architecture`.
        path: a .safetensors file.
        preprocess: what the image tower expects.
        device: where the tower shall be.

    Raises:
        TrainerError: where the file is missing, is not safetensors, or is not of this architecture.
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
