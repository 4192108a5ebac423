"""Zero-shot evaluation of scenes-tiny, for its model card.

Shape letters: n images, C labels, D joint width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.backbone.clip import FrozenClip
from trainer.backbone.text import encode_shared_prefix, label_suffixes
from trainer.data.scenes.backgrounds import SCENES
from trainer.data.scenes.cooccurrence import HeldOut
from trainer.data.scenes.objects import CLASSES, KINDS
from trainer.evaluation.metrics import average_precision
from trainer.pretraining.pictures import Pictures
from trainer.pretraining.words import COLOURS, article

WORDINGS = ("a photo of a {}.", "a picture of {}", "there is {} in the scene", "{}", "grainy zoological snapshot of {}")
"""Prompt templates; the last has words that the text tower never saw."""


@torch.no_grad()
def evaluate(clip: FrozenClip, pictures: Pictures, without: HeldOut) -> dict[str, Any]:
    """Zero-shot metrics in per cent.

    Args:
        clip: the model.
        pictures: broad validation scenes, including held-out combinations.
        without: the combinations that pretraining never showed.
    """
    image, patches = _encode(clip, pictures)
    labels = torch.from_numpy(pictures.labels().astype(np.int64))
    wordings = {}
    for wording in WORDINGS:
        text = F.normalize(clip.encode_texts([wording.replace("{}", name) for name in CLASSES]), dim=-1)
        wordings[wording] = {
            "image": _map(image @ text.T, labels),
            "patch_max": _map((patches @ text.T).amax(1), labels),
        }
    text = F.normalize(clip.encode_texts([WORDINGS[0].replace("{}", name) for name in CLASSES]), dim=-1)
    best = (patches @ text.T).amax(1)
    per_label = average_precision(best, labels)
    return {
        "images": len(labels),
        "chance": round(100 * float(labels.float().mean()), 1),
        "zero_shot_mAP": wordings,
        "soft_prefix_mAP_patch_max": _soft(clip, patches, labels),
        "per_label_patch_max": {n: round(v, 1) for n, v in zip(CLASSES, per_label, strict=True) if v is not None},
        "held_out_compositions": {
            **_recognised(best, labels, pictures, without),
            **_colours_named(clip, patches, pictures, without),
        },
    }


def _encode(clip: FrozenClip, pictures: Pictures) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (clip.preprocess.mean, clip.preprocess.std))
    found = []
    for start in range(0, len(pictures.pixels), 250):
        pixels = torch.from_numpy(pictures.pixels[start : start + 250]).permute(0, 3, 1, 2).float() / 255
        found.append(clip.encode_image((pixels - mean) / std))
    image = torch.cat([f.image for f in found])
    patches = torch.cat([f.patches for f in found])
    return F.normalize(image, dim=-1), F.normalize(patches, dim=-1)


def _map(scores: Tensor, labels: Tensor) -> float:
    values = [v for v in average_precision(scores, labels) if v is not None]
    return round(sum(values) / len(values), 1)


def _soft(clip: FrozenClip, patches: Tensor, labels: Tensor) -> dict[str, float]:
    """mAP with untrained learnable vectors before the label."""
    suffixes = label_suffixes(clip, [f"{name}." for name in CLASSES])
    generator = torch.Generator().manual_seed(0)
    result = {}
    for count in (4, 12, 16):
        start = clip.embed([clip.tokenizer.sot_token_id])
        soft = 0.02 * torch.randn(count, clip.text_width, generator=generator)
        text = F.normalize(encode_shared_prefix(clip, torch.cat([start, soft]), suffixes), dim=-1)
        result[str(count)] = _map((patches @ text.T).amax(1), labels)
    return result


def _recognised(best: Tensor, labels: Tensor, pictures: Pictures, without: HeldOut) -> dict[str, Any]:
    """Fraction of objects whose class is among the image's top-k labels (k its number of labels), by combination."""
    hits: dict[str, list[bool]] = {"seen": [], "held_out_colour": [], "held_out_scene": []}
    for i in range(len(labels)):
        top = set(best[i].topk(int(labels[i].sum())).indices.tolist())
        scene = tuple(SCENES)[pictures.scene[i]]
        for cls, colour, *_ in pictures.objects[i]:
            if cls < 0:
                continue
            name = CLASSES[cls]
            new_colour = not without.colour_allowed(name, COLOURS[colour])
            new_scene = not without.scene_allowed(name, scene)
            key = "held_out_colour" if new_colour else "held_out_scene" if new_scene else "seen"
            hits[key].append(int(cls) in top)
    return {f"recognised_{k}": round(100 * float(np.mean(v)), 1) for k, v in hits.items()} | {
        f"objects_{k}": len(v) for k, v in hits.items()
    }


def _colours_named(clip: FrozenClip, patches: Tensor, pictures: Pictures, without: HeldOut) -> dict[str, float]:
    """Accuracy of naming an object's colour among those of its class, at the patch of the box's centre."""
    hits: dict[str, list[bool]] = {"seen": [], "held_out": []}
    side = round(patches.shape[1] ** 0.5)
    text = {
        name: F.normalize(clip.encode_texts([f"a photo of {article(f'{c} {name}')}." for c in kind.colours]), dim=-1)
        for name, kind in KINDS.items()
    }
    for i in range(len(patches)):
        for (cls, colour, *_), box in zip(pictures.objects[i], pictures.boxes[i], strict=True):
            if cls < 0:
                continue
            name = CLASSES[cls]
            column, row = ((box[:2] + box[2:]) / 2 * side).clip(0, side - 1).astype(int)
            named = KINDS[name].colours[int((text[name] @ patches[i, row * side + column]).argmax())]
            key = "seen" if without.colour_allowed(name, COLOURS[colour]) else "held_out"
            hits[key].append(named == COLOURS[colour])
    return {f"colour_named_{k}": round(100 * float(np.mean(v)), 1) for k, v in hits.items()}
