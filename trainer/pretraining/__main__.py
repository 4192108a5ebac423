"""Reproduce scenes-tiny: `python -m trainer.pretraining`.

Renders broad scenes, trains the image tower on the fixed word space, distils the text tower, evaluates the model, and
writes the weights, the model card and the log.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.backbone import scenes_tiny


def main(
    out: Annotated[Path, typer.Option(help="Folder for the weights, the card and the log.")] = scenes_tiny.FOLDER,
    images: Annotated[int, typer.Option(help="Broad scenes to train on.", min=10)] = 40_000,
    validation: Annotated[int, typer.Option(help="Broad scenes to measure on.", min=10)] = 2_000,
    seed: Annotated[int, typer.Option(help="Of everything.", min=0)] = 0,
    shorten: Annotated[
        float, typer.Option(help="Factor on all numbers of steps, for a trial.", min=0.0, max=1.0)
    ] = 1.0,
) -> None:
    """Pretrain scenes-tiny: about 30 minutes on two CPU cores."""
    import numpy as np
    import open_clip
    import torch

    from trainer.backbone.clip import FrozenClip
    from trainer.data.scenes.cooccurrence import held_out
    from trainer.pretraining import evaluation, image_tower, pictures, text_tower
    from trainer.pretraining.words import WordSpace

    out.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []

    def log(line: dict[str, Any]) -> None:
        lines.append(line)
        typer.echo(json.dumps(line))

    torch.manual_seed(seed)
    size, without = scenes_tiny.PREPROCESS.size, held_out()
    shown = pictures.broad(images, seed=11 + seed, size=size, without=without)
    log({"rendered": images})
    model, space = scenes_tiny.empty_model(), WordSpace(scenes_tiny.CONFIG["embed_dim"])
    image_recipe, text_recipe = image_tower.ImageRecipe(), text_tower.TextRecipe()
    image_recipe = _shortened(image_recipe, ("crop_steps", "full_steps"), shorten)
    text_recipe = _shortened(text_recipe, ("steps", "sentences"), shorten)
    mean, std = scenes_tiny.PREPROCESS.mean[0], scenes_tiny.PREPROCESS.std[0]
    scale = image_tower.train_image_tower(model.visual, shown, space, image_recipe, seed, log, mean, std)
    tokenizer = open_clip.SimpleTokenizer()
    sentences = text_tower.corpus(
        shown.captioned, space, tokenizer, text_recipe.sentences, np.random.default_rng((seed, 200))
    )
    text_tower.train_text_tower(model, sentences, text_recipe, seed, log)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(scale))
    path = out / scenes_tiny.WEIGHTS.name
    digest = scenes_tiny.save_model(model, sentences.known, path)
    # Evaluated as written, that is, in half precision.
    clip = FrozenClip(scenes_tiny.load_model(path), tokenizer, scenes_tiny.PREPROCESS, "scenes-tiny")
    measured = evaluation.evaluate(clip, pictures.broad(validation, seed=12_000_000 + seed, size=size), without)
    log({"measured": measured})
    card = {
        "name": "scenes-tiny",
        "made_by": "python -m trainer.pretraining",
        "seed": seed,
        "images": images,
        "open_clip": scenes_tiny.CONFIG,
        "preprocess": asdict(scenes_tiny.PREPROCESS),
        "recipe": {"image": asdict(image_recipe), "text": asdict(text_recipe)},
        "held_out": {key: sorted(map(list, pairs)) for key, pairs in asdict(without).items()},
        "figures": measured,
        "sha256": digest,
    }
    (out / scenes_tiny.CARD.name).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (out / scenes_tiny.LOG.name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _shortened(recipe: Any, keys: tuple[str, ...], factor: float) -> Any:
    from dataclasses import replace

    return replace(recipe, **{key: max(2, round(getattr(recipe, key) * factor)) for key in keys})


if __name__ == "__main__":
    typer.run(main)
