"""MaPLe: parity with the published program, its start, and depth in towers of different depths."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip
from trainer.methods.maple import MaPLe, MapleConfig
from trainer.methods.registry import build

NAMES = {
    "ctx": "context",
    "proj.weight": "project.weight",
    "proj.bias": "project.bias",
    **{f"compound_prompts_text.{i}": f"deep_context.{i}" for i in range(2)},
    **{
        f"compound_prompt_projections.{i}.{part}": f"deep_project.{i}.{part}"
        for i in range(2)
        for part in ("weight", "bias")
    },
}
"""The published parameters' names, and ours."""


def maple(layers: int = 2, vision_layers: int = 2, **settings: Any) -> MaPLe:
    clip = random_clip(layers=layers, vision_layers=vision_layers)
    method = build("maple", method_context(MapleConfig(**settings), clip=clip))
    assert isinstance(method, MaPLe)
    return method


def test_the_released_variant_is_the_published_program() -> None:
    """Prompts of both towers, features, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        "maple",
        lambda hyper: MapleConfig(variant="released", context_tokens=hyper["n_ctx"], depth=hyper["depth"]),
        NAMES,
    )
    method, tensors, batch = published.method, published.tensors, published.batch()
    assert isinstance(method, MaPLe)
    with torch.no_grad():
        visual = method.visual_prompts()
        torch.testing.assert_close(visual.tokens, tensors["inter.vision_ctx"], atol=1e-5, rtol=1e-4)
        for layer, tokens in visual.deep.items():
            torch.testing.assert_close(tokens, tensors[f"inter.vision_deep_{layer - 1}"], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method._tokens(batch).mT, tensors["inter.image_out"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method.text_features(), tensors["inter.text_features"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method(batch), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    published.check()


def test_a_single_layer_starts_at_the_sentence() -> None:
    """Its context is "a photo": before training, the text features are those of "a photo of a ⟨label⟩."."""
    method = maple(depth=1)
    expected = method.clip.encode_texts([f"a photo of a {label}." for label in LABELS])
    torch.testing.assert_close(method.text_features().detach(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("layers", "vision_layers", "depth"), [(3, 4, 3), (4, 3, 3), (3, 3, 2)])
def test_prompts_reach_no_deeper_than_the_shallower_tower(layers: int, vision_layers: int, depth: int) -> None:
    method = maple(layers, vision_layers, depth=depth if depth == 2 else 9)
    assert method.describe()["depth"] == depth
    assert sorted(method.visual_prompts().deep) == [*range(1, depth)]
    assert method(random_batch(method.clip, reads=method.reads)).shape == (4, 3)


@pytest.mark.parametrize(("variant", "count"), [("released", 3_555_072), ("clean", 3_555_074)])
def test_it_trains_as_many_numbers_as_published(variant: str, count: int) -> None:
    """The clean variant also trains scale and bias of the logit."""
    assert trained_on_vit_b16(MapleConfig.model_validate({"variant": variant})) == count
