"""scenes-tiny: the shipped CLIP of the drawn world, a stock open_clip model.

The file holds embeddings of the tokens that pretraining read. At load the stock vocabulary's table is filled up with
small distinct vectors, the same each time, as pretraining had them.
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

SOFT = -1
"""Token id of a learnable vector that prompt tuning will put there: N(0, 0.02²), new each time."""
SOFT_SPREAD = 0.02

_ROWS, _IDS = "token_embedding.rows", "token_embedding.ids"


def empty_model() -> Any:
    """The architecture with random weights."""
    import open_clip

    return open_clip.model.CLIP(**json.loads(json.dumps(CONFIG)))


def save_model(model: Any, known: torch.Tensor, path: Path) -> str:
    """Write the weights in half precision, embeddings of known tokens only.

    Returns:
        The file's sha256.
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
        path: None for the shipped weights, which must have the card's sha256.

    Raises:
        TrainerError: where the file is missing or is not what the card says.
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
    """(vocabulary, Dt): small distinct vectors for tokens that were never trained; always the same ones."""
    return SOFT_SPREAD * torch.randn(vocabulary, width, generator=torch.Generator().manual_seed(seed))
