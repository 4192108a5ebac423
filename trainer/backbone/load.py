"""Load a backbone by name and weights. Missing weights are an error; nothing is ever initialised at random instead."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trainer.backbone.clip import FrozenClip, Preprocess
from trainer.errors import TrainerError, unknown_name

SHIPPED = "scenes-tiny"
"""The backbone whose weights come with the package."""


def load_backbone(name: str, pretrained: str | None, device: torch.device | str = "cpu") -> FrozenClip:
    """Load a CLIP with its weights.

    Args:
        name: "scenes-tiny", or a model of open_clip, "ViT-B-16-quickgelu" for instance.
        pretrained: for open_clip models: a tag ("openai"; downloaded or from the local cache) or the path of a
            .safetensors file. None for scenes-tiny.
        device: of the model.

    Raises:
        TrainerError: an unknown name or tag, missing or mismatching weights, or a file that is not safetensors.
    """
    if name == SHIPPED:
        if pretrained is not None:
            raise TrainerError(f"{SHIPPED} comes with its weights; leave out --pretrained {pretrained}")
        return _scenes_tiny().to(device)
    import open_clip

    if open_clip.get_model_config(name) is None:
        raise unknown_name("backbone", name, [SHIPPED, *open_clip.list_models()])
    if pretrained is None:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none is known"
        raise TrainerError(f"{name} needs weights: --pretrained with a .safetensors file or a tag ({tags})")
    path, config = _locate(name, pretrained)
    return from_file(name, path, config).to(device)


def from_file(name: str, path: Path, config: dict[str, Any] | None = None) -> FrozenClip:
    """Build an open_clip model and load its weights from a safetensors file.

    Args:
        name: an open_clip model name.
        path: weights under open_clip's or OpenAI's names.
        config: open_clip's settings of the pretrained tag (quick_gelu, mean, std, interpolation), if there are any.

    Raises:
        TrainerError: missing or unexpected keys, or other shapes.
    """
    import open_clip

    config = config or {}
    with _without_warnings():  # open_clip warns of random initialisation; the weights are loaded below
        model = open_clip.create_model(name, pretrained=None, load_weights=False)
    if config.get("quick_gelu") and not _uses_quick_gelu(model):
        raise TrainerError(f"these weights were trained with QuickGELU: use {name}-quickgelu")
    fill_weights(model, path)
    defaults = open_clip.transform.PreprocessCfg()
    size = model.visual.image_size
    preprocess = Preprocess(
        size=size[0] if isinstance(size, tuple) else size,
        mean=tuple(config.get("mean") or defaults.mean),
        std=tuple(config.get("std") or defaults.std),
        interpolation=config.get("interpolation") or defaults.interpolation,
    )
    return FrozenClip(model, open_clip.get_tokenizer(name), preprocess, name)


def fill_weights(model: Any, path: Path) -> None:
    """Copy the weights of a safetensors file into a model. The keys must be exactly the model's.

    Raises:
        TrainerError: the file is missing, is not safetensors, or does not match the model.
    """
    weights = read_weights(path)
    # OpenAI's checkpoints contain three entries of metadata.
    for entry in ("input_resolution", "context_length", "vocab_size"):
        weights.pop(entry, None)
    own = model.state_dict()
    missing = sorted(own.keys() - weights.keys())
    surplus = sorted(weights.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & weights.keys() if own[k].shape != weights[k].shape)
    for what, keys in (("lacks", missing), ("has unknown", surplus), ("has other shapes for", shapes)):
        if keys:
            listed = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
            raise TrainerError(f"{path}: the file {what} {listed}; it is not of this model")
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in weights.items()})


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        TrainerError: the file is missing or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise TrainerError(f"{path}: weights are read from .safetensors only (other formats can run code)")
    if not path.is_file():
        raise TrainerError(f"{path}: there is no such weights file")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise TrainerError(f"{path}: not a readable safetensors file ({error})") from error


def _locate(name: str, pretrained: str) -> tuple[Path, dict[str, Any]]:
    """The weights file of a path or a tag, and open_clip's settings of the tag."""
    if pretrained.endswith(".safetensors") or Path(pretrained).exists():
        return Path(pretrained), {}
    import open_clip
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    config = get_pretrained_cfg(name, pretrained)
    if not config:
        known = open_clip.list_pretrained_tags_by_model(name)
        raise unknown_name(f"pretrained weights of {name}", pretrained, known)
    try:
        path = download_pretrained(config)
    except (OSError, ValueError, RuntimeError) as error:
        raise TrainerError(
            f"the weights {name}/{pretrained} could not be fetched ({type(error).__name__}); "
            "download their .safetensors file and pass its path with --pretrained"
        ) from error
    return Path(path), config


@contextmanager
def _without_warnings() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _uses_quick_gelu(model: Any) -> bool:
    return type(model.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def _scenes_tiny() -> FrozenClip:
    import open_clip

    from trainer.backbone import scenes_tiny

    return FrozenClip(scenes_tiny.load_model(), open_clip.SimpleTokenizer(), scenes_tiny.PREPROCESS, SHIPPED)
