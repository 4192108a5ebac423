"""The architectures that are built: scenes-tiny, and open_clip's own plain CLIPs, by name.

open_clip also builds from folders (`local-dir:`), from repositories (`hf-hub:`), with towers of timm and of
transformers and with tokenizers of other packages; all of these can fetch files, unpickle them or run code that comes
with a model. Methods work on CLIPs with a plain vision transformer and a causal text tower only, so nothing else is
ever handed to open_clip.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from trainer.errors import TrainerError, unknown_name

SHIPPED = "scenes-tiny"
"""The backbone whose weights come with the package."""

_VISION = {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio", "ls_init_value"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}
_WHOLE = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}


@cache
def architecture_names() -> tuple[str, ...]:
    """The names of all backbones that can be built."""
    import open_clip

    names = open_clip.list_models()
    return (SHIPPED, *(name for name in names if _is_plain(open_clip.get_model_config(name))))


def check_name(name: str) -> None:
    """Check that a name is one of `architecture_names`. Nothing is read or fetched for any other name.

    Raises:
        TrainerError: an unknown name, or one of an architecture that is not a plain CLIP.
    """
    if name in architecture_names():
        return
    import open_clip

    if name in open_clip.list_models():
        raise TrainerError(
            f"{name} is not a CLIP with a plain vision transformer and a causal text tower; "
            "use for instance ViT-B-16-quickgelu"
        )
    raise unknown_name("backbone", name, architecture_names())


def architecture(name: str) -> dict[str, Any]:
    """open_clip's configuration of a backbone: plain numbers.

    Raises:
        TrainerError: see `check_name`.
    """
    check_name(name)
    if name == SHIPPED:
        from trainer.backbone import scenes_tiny

        return copy.deepcopy(scenes_tiny.CONFIG)
    import open_clip

    return dict(open_clip.get_model_config(name))


def tokenizer(name: str) -> Any:
    """The tokenizer of a backbone: CLIP's own byte-pair encoding, whose vocabulary comes with open_clip."""
    import open_clip

    return open_clip.SimpleTokenizer(context_length=architecture(name)["text_cfg"]["context_length"])


def _is_plain(config: dict[str, Any]) -> bool:
    vision, text = config["vision_cfg"], config["text_cfg"]
    known = config.keys() <= _WHOLE and vision.keys() <= _VISION and text.keys() <= _TEXT
    numbers = [*vision.values(), *text.values(), config["embed_dim"]]
    return known and all(isinstance(value, int | float) for value in numbers if value is not None)
