"""scenes-tiny: the shipped CLIP of the drawn world, a standard open_clip model.

The file contains the embeddings of tokens that occurred in pretraining only. On loading, all other tokens get fixed
small random embeddings, the same as during pretraining.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from trainer.backbone.clip import Preprocess
from trainer.errors import TrainerError

FOLDER = Path(__file__).parent / "weights"
WEIGHTS = FOLDER / "scenes-tiny.safetensors"
CARD = FOLDER / "scenes-tiny.json"
LOG = FOLDER / "scenes-tiny.log.jsonl"

CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
}
"""open_clip's configuration of the model."""

PREPROCESS = Preprocess(64, (0.5, 0.5, 0.5), (0.28, 0.28, 0.28))

SOFT_TOKEN = -1
"""Token id that marks a position of a learnable vector: a new draw of N(0, SOFT_STD²) each time."""
SOFT_STD = 0.02
"""Standard deviation of untrained learnable vectors."""

_ROWS, _IDS = "token_embedding.rows", "token_embedding.ids"


def empty_model() -> Any:
    """The model with random weights."""
    import open_clip

    return open_clip.model.CLIP(**json.loads(json.dumps(CONFIG)))


def save_model(model: Any, known: torch.Tensor, path: Path) -> str:
    """Write the weights in half precision, with the embeddings of known tokens only.

    Returns:
        sha256 of the file.
    """
    from safetensors.torch import save

    weights = {k: v.half() for k, v in model.state_dict().items() if k != "token_embedding.weight"}
    weights[_ROWS] = model.token_embedding.weight.detach()[known].half()
    weights[_IDS] = known.int()
    content = save({k: v.contiguous() for k, v in weights.items()})
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_model(path: Path | None = None) -> Any:
    """The pretrained model, float32, in evaluation mode.

    Args:
        path: None for the shipped weights, which must have the sha256 of the model card.

    Raises:
        TrainerError: the file is missing, or its sha256 is not the card's.
    """
    from safetensors.torch import load

    shipped = path is None
    path = path or WEIGHTS
    if not path.is_file():
        raise TrainerError(
            f"{path}: the shipped weights are missing; reinstall fedmpt, or make them again with "
            "python -m trainer.pretraining"
        )
    content = path.read_bytes()
    if shipped and hashlib.sha256(content).hexdigest() != card()["sha256"]:
        raise TrainerError(
            f"{path}: the shipped weights are damaged (their sha256 is not the card's); reinstall fedmpt"
        )
    weights = {k: v.float() if v.is_floating_point() else v for k, v in load(content).items()}
    text = CONFIG["text_cfg"]
    table = unknown_embeddings(text["vocab_size"], text["width"])
    table[weights.pop(_IDS).long()] = weights.pop(_ROWS)
    model = empty_model()
    model.load_state_dict({**weights, "token_embedding.weight": table})
    return model.eval()


def card() -> dict[str, Any]:
    """The model card: recipe, seed, figures, sha256."""
    return dict(json.loads(CARD.read_text(encoding="utf-8")))


def unknown_embeddings(vocabulary: int, width: int, seed: int = 11) -> torch.Tensor:
    """(vocabulary, Dt) fixed small random embeddings for tokens that were never trained."""
    return SOFT_STD * torch.randn(vocabulary, width, generator=torch.Generator().manual_seed(seed))
