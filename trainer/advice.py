"""What to tell a user about a data set on a backbone before training. Shape letters: C labels, D joint width."""

from __future__ import annotations

from itertools import combinations

import torch.nn.functional as F

from trainer.backbone.architectures import SHIPPED
from trainer.backbone.clip import FrozenClip
from trainer.data.base import ELONGATED, MultiLabelDataset

TEMPLATE = "a photo of a {}."
"""The sentence in which labels are compared."""
NEARLY_EQUAL = 0.98
"""Cosine of text features from which the backbone hardly tells two labels apart."""
MAX_PAIRS = 8
"""Pairs of labels that are named at most."""
MANY = 0.2
"""Fraction of images far from square from which it is said."""


def advice(dataset: MultiLabelDataset, clip: FrozenClip) -> list[str]:
    """For users, before training: the toy CLIP on own images, labels that the text tower confuses, cropped images."""
    return [*_toy(dataset, clip), *_confused(dataset.label_names, clip), *_cropped(dataset, clip)]


def confused_labels(names: tuple[str, ...], clip: FrozenClip) -> list[tuple[str, str, float]]:
    """Pairs of labels with nearly equal text features, and their cosine; the most similar first."""
    features = F.normalize(clip.encode_texts([TEMPLATE.replace("{}", name) for name in names]), dim=-1)
    cosines = (features @ features.T).tolist()
    pairs = [(a, b) for a, b in combinations(range(len(names)), 2) if cosines[a][b] > NEARLY_EQUAL]
    return [(names[a], names[b], cosines[a][b]) for a, b in sorted(pairs, key=lambda pair: -cosines[pair[0]][pair[1]])]


def _toy(dataset: MultiLabelDataset, clip: FrozenClip) -> list[str]:
    if clip.name != SHIPPED or dataset.name == "scenes":
        return []
    return [
        f"{SHIPPED} is a toy that knows the drawn world's 24 classes only; for images of your own use a real CLIP: "
        "--backbone ViT-B-16-quickgelu --pretrained openai (or a .safetensors file)"
    ]


def _confused(names: tuple[str, ...], clip: FrozenClip) -> list[str]:
    found = confused_labels(names, clip)
    if not found:
        return []
    named = ", ".join(f"'{a}' and '{b}' ({cosine:.3f})" for a, b, cosine in found[:MAX_PAIRS])
    more = f" and {len(found) - MAX_PAIRS} more pairs" if len(found) > MAX_PAIRS else ""
    return [
        f"to {clip.name} these labels read nearly the same (cosine of their text features): {named}{more}; "
        "other words for them, or another backbone, may tell them apart"
    ]


def _cropped(dataset: MultiLabelDataset, clip: FrozenClip) -> list[str]:
    if clip.preprocess.resize != "shortest" or dataset.elongated < MANY:
        return []
    return [
        f"{dataset.elongated:.0%} of the images are at least {ELONGATED} times as long as wide or high, and only the "
        "square in their middle is seen; --set backbone.resize=longest (padded) or squash (distorted) shows all of them"
    ]
