"""Load a backbone by name and weights. Missing weights are an error.

Nothing is initialised at random instead, except for `random_backbone`, which is asked for by that name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trainer.backbone.architectures import SHIPPED, check_name, tokenizer
from trainer.backbone.clip import FrozenClip, Preprocess, Resize
from trainer.backbone.fetching import is_path, locate
from trainer.backbone.tensor_files import check_like, read_tensors
from trainer.errors import TrainerError


@dataclass(frozen=True)
class RecordedWeights:
    """The weights with which a run was trained, as its folder records them.

    Attributes:
        sha256: see `FrozenClip.weights_hash`; None if the run has not begun.
        given: where the user says they are: a .safetensors file, or a tag to fetch; None: where the run says.
    """

    sha256: str | None
    given: str | None = None


def load_backbone(
    name: str,
    pretrained: str | None,
    device: torch.device | str = "cpu",
    fetch: bool = True,
    resize: Resize | None = None,
) -> FrozenClip:
    """Load a CLIP with its weights.

    Args:
        name: "scenes-tiny", or a plain CLIP of open_clip, "ViT-B-16-quickgelu" for instance (see `architecture_names`).
        pretrained: for open_clip models: a tag ("openai"; downloaded or from the local cache) or the path of a
            .safetensors file. None for scenes-tiny.
        device: of the model.
        fetch: whether a tag's weights may be downloaded.
        resize: how images become squares; None: as the weights were trained.

    Raises:
        TrainerError: an unknown name or tag, missing or mismatching weights, or a file that is not safetensors.
    """
    clip = _load(name, pretrained, fetch).to(device)
    if resize is not None:
        clip.preprocess = replace(clip.preprocess, resize=resize)
    return clip


def _load(name: str, pretrained: str | None, fetch: bool) -> FrozenClip:
    check_name(name)
    if name == SHIPPED:
        if pretrained is not None:
            raise TrainerError(f"{SHIPPED} comes with its weights; leave out {pretrained}")
        return _scenes_tiny()
    if pretrained is None:
        import open_clip

        tags = ", ".join(open_clip.list_pretrained_tags_by_model(name)) or "none is known"
        raise TrainerError(f"{name} needs weights: --pretrained with a .safetensors file or a tag ({tags})")
    path, config = locate(name, pretrained, fetch)
    return from_file(name, path, config)


def random_backbone(name: str) -> FrozenClip:
    """A CLIP with random weights, the same each time; only for measuring time and memory, which do not depend on them.

    Raises:
        TrainerError: an unknown name.
    """
    import open_clip

    check_name(name)
    with torch.random.fork_rng(), _without_warnings():
        torch.manual_seed(0)
        model = open_clip.create_model(name, pretrained=None, load_weights=False)
    return FrozenClip(model, tokenizer(name), _preprocess(model, {}), name)


def load_recorded(
    name: str,
    pretrained: str | None,
    recorded: RecordedWeights,
    device: torch.device | str = "cpu",
    resize: Resize | None = None,
) -> FrozenClip:
    """Load the backbone that a run's folder names; the folder may be a stranger's.

    Nothing is fetched that the user did not name, and the weights must be those with which the run was trained.

    Raises:
        TrainerError: see `load_backbone`; or the weights are others.
    """
    try:
        fetch = recorded.given is not None
        clip = load_backbone(name, recorded.given or pretrained, device, fetch, resize)
    except TrainerError as error:
        if recorded.given is not None or pretrained is None:
            raise
        tag = "" if is_path(pretrained) else f", or --backbone {pretrained} to fetch them"
        said = f"name the weights with --backbone FILE.safetensors{tag}; for train --resume the option is --pretrained"
        raise type(error)(f"{error}\n{said}") from error
    if recorded.sha256 is not None and f"sha256:{clip.weights_hash}" != recorded.sha256:
        raise TrainerError(
            f"the weights of {name} have sha256 {clip.weights_hash[:16]}…, the run was trained on "
            f"{recorded.sha256.removeprefix('sha256:')[:16]}…: the backbone changed; name the run's own with --backbone"
        )
    return clip


def from_file(name: str, path: Path, config: dict[str, Any] | None = None) -> FrozenClip:
    """Build an open_clip model and load its weights from a safetensors file.

    Args:
        name: one of `architecture_names`, but not scenes-tiny.
        path: weights under open_clip's or OpenAI's names.
        config: open_clip's settings of the pretrained tag (quick_gelu, mean, std, interpolation), if there are any.

    Raises:
        TrainerError: missing or unexpected keys, or other shapes.
    """
    import open_clip

    check_name(name)
    weights = read_tensors(path)
    config = config or {}
    with _without_warnings():  # open_clip warns of random initialisation; the weights are loaded below
        model = open_clip.create_model(name, pretrained=None, load_weights=False)
    if config.get("quick_gelu") and not _uses_quick_gelu(model):
        raise TrainerError(f"these weights were trained with QuickGELU: use {name}-quickgelu")
    _fill(model, path, weights)
    return FrozenClip(model, tokenizer(name), _preprocess(model, config), name)


def _preprocess(model: Any, config: dict[str, Any]) -> Preprocess:
    """What a model expects, by the settings of its weights, else open_clip's defaults."""
    import open_clip

    defaults = open_clip.transform.PreprocessCfg()
    size = model.visual.image_size
    return Preprocess(
        size=size[0] if isinstance(size, tuple) else size,
        mean=tuple(config.get("mean") or defaults.mean),
        std=tuple(config.get("std") or defaults.std),
        interpolation=config.get("interpolation") or defaults.interpolation,
        resize=config.get("resize_mode") or defaults.resize_mode,
    )


def fill_weights(model: Any, path: Path) -> None:
    """Copy the weights of a safetensors file into a model. The keys must be exactly the model's.

    Raises:
        TrainerError: the file is missing, is not safetensors, has numbers that are not finite, or does not match the
            model in names, shapes or data types.
    """
    _fill(model, path, read_tensors(path))


def _fill(model: Any, path: Path, weights: dict[str, torch.Tensor]) -> None:
    # OpenAI's checkpoints contain three entries of metadata.
    for entry in ("input_resolution", "context_length", "vocab_size"):
        weights.pop(entry, None)
    own = model.state_dict()
    if difference := check_like(weights, own):
        raise TrainerError(f"{path}: the file {difference}; it is not of this model")
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in weights.items()})


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
    from trainer.backbone import scenes_tiny

    return FrozenClip(scenes_tiny.load_model(), tokenizer(SHIPPED), scenes_tiny.PREPROCESS, SHIPPED)
