"""Train the image tower to predict the content of patches and of the whole image in the fixed word space.

First on crops around an object (16 patches, cheap), then on whole pictures. Shape letters: B images, G patches per
side, K objects per image, C classes, D joint width.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.data.scenes.backgrounds import SCENES
from trainer.data.scenes.light import LIGHTS
from trainer.data.scenes.objects import CLASSES
from trainer.pretraining.pictures import Pictures
from trainer.pretraining.words import COLOURS, SCALES, VARIANTS, WordSpace

Log = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ImageRecipe:
    """Training schedule and optimiser.

    Attributes:
        crop_steps, full_steps: updates on crops, then on whole pictures.
        crop_batch, full_batch: batch sizes.
        learning_rate: peak, after `warm_up` steps of warm-up; cosine annealing to 3 % of it.
        background: weight of patches without an object.
    """

    crop_steps: int = 2000
    full_steps: int = 1600
    crop_batch: int = 128
    full_batch: int = 96
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    warm_up: int = 80
    background: float = 0.12


@dataclass(frozen=True)
class View:
    """A batch of B windows of pictures, with the content of each patch.

    Attributes:
        pixels: (B, 3, side, side), normalised.
        corner: (B, 2) first patch row and column of the window in the picture.
        target: (B, G·G) class of the patch's object, or 24 + scene for background.
        owner: (B, G·G) index of the patch's object, -1 for background.
        present: (B, C) whether a class is in the window.
        objects: (B, K, 4) class, colour, variant, scale.
        scene, light: (B,)
    """

    pixels: Tensor
    corner: Tensor
    target: Tensor
    owner: Tensor
    present: Tensor
    objects: Tensor
    scene: Tensor
    light: Tensor


def normalise(pixels: np.ndarray, mean: float, std: float) -> Tensor:
    """(B, H, W, 3) bytes to (B, 3, H, W) floats."""
    return (torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255 - mean) / std


def features(visual: Any, pixels: Tensor, corner: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Normalised features (B, D) of the class token and (B, G·G, D) of the patches.

    A window smaller than the picture gets the positional embeddings of the patches that it covers.
    """
    tokens = visual.conv1(pixels)
    side = tokens.shape[-1]
    tokens = tokens.flatten(2).transpose(1, 2)
    positions = visual.positional_embedding[1:]
    if corner is not None:
        whole = visual.grid_size[0]
        step = torch.arange(side)
        rows = (corner[:, :1] + step)[:, :, None]
        columns = (corner[:, 1:] + step)[:, None, :]
        positions = positions.view(whole, whole, -1)[rows, columns].flatten(1, 2)
    start = (visual.class_embedding + visual.positional_embedding[0]).expand(len(pixels), 1, -1)
    tokens = visual.transformer(visual.ln_pre(torch.cat([start, tokens + positions], dim=1)))
    joint = F.normalize(visual.ln_post(tokens) @ visual.proj, dim=-1)
    return joint[:, 0], joint[:, 1:]


def whiten_patches(visual: Any, pictures: Pictures, mean: float, std: float, rng: np.random.Generator) -> None:
    """Initialise the patch embedding with whitened principal components of patches, which saves most of stage one."""
    side = visual.conv1.kernel_size[0]
    chosen = rng.integers(len(pictures.pixels), size=min(3000, 4 * len(pictures.pixels)))
    limit = pictures.pixels.shape[1] - side + 1
    corners = rng.integers(limit, size=(len(chosen), 2))
    cut = [pictures.pixels[i, y : y + side, x : x + side] for i, (y, x) in zip(chosen, corners, strict=True)]
    flat = normalise(np.stack(cut), mean, std).flatten(1)
    _, values, directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    width = visual.conv1.out_channels
    spread = values[:width] / math.sqrt(len(flat))
    weight = directions[:width] / (spread + 0.05)[:, None]
    with torch.no_grad():
        visual.conv1.weight[: len(weight)].copy_(0.5 * weight.view(-1, *visual.conv1.weight.shape[1:]))


def view(
    pictures: Pictures,
    chosen: np.ndarray,
    grid: int,
    patch: int,
    rng: np.random.Generator,
    normalised: Callable[[np.ndarray], Tensor],
) -> View:
    """Windows of `grid` patches per side: around a random object, or the slightly shifted picture; half flipped."""
    side, count = grid * patch, len(chosen)
    size = pictures.pixels.shape[1]
    boxes = pictures.boxes[chosen] * size
    objects = pictures.objects[chosen]
    if side < size:
        filled = (objects[..., 0] >= 0).sum(1)
        main = boxes[np.arange(count), rng.integers(0, filled)]
        centre = (main[:, :2] + main[:, 2:]) / 2 + rng.uniform(-6, 6, (count, 2))
        left, top = np.clip(np.round(centre - side / 2), 0, size - side).astype(int).T
        cut = [pictures.pixels[i, y : y + side, x : x + side] for i, y, x in zip(chosen, top, left, strict=True)]
    else:
        left, top = rng.integers(-3, 4, (2, count))
        cut = [np.roll(pictures.pixels[i], (-y, -x), (0, 1)) for i, y, x in zip(chosen, top, left, strict=True)]
    mirrored = rng.random(count) < 0.5
    pixels = np.stack([c[:, ::-1] if m else c for c, m in zip(cut, mirrored, strict=True)])
    moved = boxes - np.stack([left, top, left, top], axis=1)[:, None]
    turned = np.stack([side - moved[..., 2], moved[..., 1], side - moved[..., 0], moved[..., 3]], axis=-1)
    moved = np.where(mirrored[:, None, None], turned, moved)
    whole = size // patch
    column = np.clip(np.round(left / patch), 0, whole - grid).astype(int)
    corner = np.stack(
        [
            np.clip(np.round(top / patch), 0, whole - grid).astype(int),
            np.where(mirrored, whole - grid - column, column),
        ],
        1,
    )
    owner = _owners(moved, objects[..., 0] >= 0, grid, patch)
    classes = np.take_along_axis(objects[..., 0], np.maximum(owner, 0), axis=1)
    scene = pictures.scene[chosen]
    target = np.where(owner >= 0, classes, len(CLASSES) + scene[:, None])
    present = np.zeros((count, len(CLASSES)), np.float32)
    rows, spots = np.nonzero(owner >= 0)
    present[rows, classes[rows, spots]] = 1
    noisy = normalised(pixels)
    contrast = 1 + 0.1 * torch.from_numpy(rng.standard_normal((count, 1, 1, 1), dtype=np.float32))
    brightness = 0.08 * torch.from_numpy(rng.standard_normal((count, 1, 1, 1), dtype=np.float32))
    return View(
        pixels=noisy * contrast + brightness,
        corner=torch.from_numpy(corner),
        target=torch.from_numpy(target.astype(np.int64)),
        owner=torch.from_numpy(owner),
        present=torch.from_numpy(present),
        objects=torch.from_numpy(objects.astype(np.int64)),
        scene=torch.from_numpy(pictures.scene[chosen]),
        light=torch.from_numpy(pictures.light[chosen]),
    )


def _owners(boxes: np.ndarray, there: np.ndarray, grid: int, patch: int) -> np.ndarray:
    """(B, G·G) the object that a patch shows: the nearest one whose slightly shrunk box contains the patch's centre.

    The patch at a box's centre always counts as inside, so that small objects are not lost.
    """
    centres = (np.arange(grid) + 0.5) * patch
    x0, y0, x1, y1 = np.moveaxis(boxes, -1, 0)[..., None]
    wide, high = 0.08 * (x1 - x0), 0.06 * (y1 - y0)
    columns = ((centres >= x0 + wide) & (centres <= x1 - wide)) | (np.abs(centres - (x0 + x1) / 2) <= patch / 2)
    rows = ((centres >= y0 + high) & (centres <= y1 - high)) | (np.abs(centres - (y0 + y1) / 2) <= patch / 2)
    inside = (rows[..., :, None] & columns[..., None, :]).reshape(*boxes.shape[:2], -1) & there[..., None]
    # Nearer objects are drawn later and have a lower bottom edge.
    nearness = np.where(inside, boxes[..., 3:4], -np.inf)
    return np.where(inside.any(1), nearness.argmax(1), -1)


def loss(visual: Any, seen: View, space: WordSpace, scale: Tensor, background: float, whole: bool) -> Tensor:
    """Cross-entropy of patch content, image classes, scene and light, and the attributes of objects."""
    image, patches = features(visual, seen.pixels, None if whole else seen.corner)
    bank = torch.cat([space.group(CLASSES), space.group(tuple(SCENES))])
    dense = F.cross_entropy((scale * patches @ bank.T).flatten(0, 1), seen.target.flatten(), reduction="none")
    weight = torch.where(seen.target.flatten() < len(CLASSES), 1.0, background)
    total = (dense * weight).sum() / weight.sum()
    share = seen.present / seen.present.sum(1, keepdim=True).clamp_min(1)
    total = total - (share * (scale * image @ space.group(CLASSES).T).log_softmax(1)).sum(1).mean()
    lights, scenes = space.group(LIGHTS), space.group(tuple(SCENES))
    total = total + 0.5 * F.cross_entropy(scale * image @ lights.T, seen.light)
    total = total + 0.25 * F.cross_entropy(scale * image @ scenes.T, seen.scene)
    total = total + 0.1 * F.cross_entropy(scale * patches.mean(1) @ lights.T, seen.light)
    for column, words in ((1, COLOURS), (2, VARIANTS), (3, SCALES)):
        value = seen.objects[..., column].gather(1, seen.owner.clamp_min(0))
        known = (seen.owner >= 0) & (value >= 0)
        if bool(known.any()):
            total = total + 0.15 * F.cross_entropy(scale * patches[known] @ space.group(words).T, value[known])
    return total


def train_image_tower(
    visual: Any, pictures: Pictures, space: WordSpace, recipe: ImageRecipe, seed: int, log: Log, mean: float, std: float
) -> float:
    """Train the tower in place.

    Returns:
        κ, the final scale of the cosines, which becomes the model's exp(logit_scale).

    Raises:
        FloatingPointError: the loss is not finite.
    """
    rng = np.random.default_rng((seed, 100))
    whiten_patches(visual, pictures, mean, std, rng)
    log_scale = nn.Parameter(torch.tensor(math.log(15.0)))
    matrices = [p for p in visual.parameters() if p.ndim > 1]
    others = [*(p for p in visual.parameters() if p.ndim <= 1), log_scale]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    patch, whole = visual.conv1.kernel_size[0], visual.grid_size[0]
    steps, began, recent = recipe.crop_steps + recipe.full_steps, time.monotonic(), []
    for step in range(steps):
        cropped = step < recipe.crop_steps
        rate = (0.5 * (1 + math.cos(math.pi * step / steps)) * 0.97 + 0.03) * min(1.0, (step + 1) / recipe.warm_up)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * rate
        count = recipe.crop_batch if cropped else recipe.full_batch
        chosen = rng.integers(len(pictures.pixels), size=count)
        seen = view(pictures, chosen, whole // 2 if cropped else whole, patch, rng, lambda x: normalise(x, mean, std))
        value = loss(visual, seen, space, log_scale.exp().clamp(max=40), recipe.background, not cropped)
        if not math.isfinite(float(value.detach())):
            raise FloatingPointError(f"pretraining: loss {float(value.detach())} at step {step}")
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_([*visual.parameters(), log_scale], 1.0)
        optimiser.step()
        recent.append(float(value.detach()))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            mean_loss = sum(recent[-100:]) / len(recent[-100:])
            seconds = round(time.monotonic() - began, 1)
            stage = "crops" if cropped else "pictures"
            log({"tower": "image", "stage": stage, "step": step + 1, "loss": round(mean_loss, 4), "seconds": seconds})
    return float(log_scale.detach().exp().clamp(max=40))
