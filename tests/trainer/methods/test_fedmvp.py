"""FedMVP as the published program reduces it: parity, and the term that keeps prompts near CLIP's own."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import method_context, random_batch, random_clip
from trainer.methods.base import Method
from trainer.methods.fedmvp import FedMVP, FedMvpConfig
from trainer.methods.registry import build

NAMES = {
    "ctx": "context",
    **{
        f"cross_attention.{part}": f"attention.{part}"
        for part in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    },
    **{f"pro.{layer}.{part}": f"visual_prompt.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")},
}
"""The published parameters' names, and ours."""

CLIP = random_clip()


def fedmvp(consistency: float, seen: tuple[int, ...] | None = None) -> Method:
    context = method_context(FedMvpConfig(consistency=consistency), clip=CLIP)
    return build("fedmvp", dataclasses.replace(context, seen=seen)).eval()


def test_the_released_variant_is_the_published_program() -> None:
    """Features, visual prompt, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        "fedmvp",
        lambda hyper: FedMvpConfig(
            variant="released", context_tokens=hyper["n_ctx"], heads=hyper["heads"], latent=hyper["latent"]
        ),
        NAMES,
    )
    method, tensors, batch = published.method, published.tensors, published.batch()
    assert isinstance(method, FedMVP)
    with torch.no_grad():
        text = method.text_features()
        torch.testing.assert_close(batch.image, tensors["inter.image_out.0"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(text, tensors["inter.text_features"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method._tokens(batch, text).mT, tensors["inter.image_out.1"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method(batch), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    published.check()


@pytest.mark.parametrize("seen", [None, (0, 2)])
def test_text_features_are_kept_near_clips_own(seen: tuple[int, ...] | None) -> None:
    """Weighted together with the asymmetric loss, and over the labels that training sees."""
    batch = random_batch(CLIP, reads="tokens@0")
    free, kept = fedmvp(0, seen), fedmvp(3, seen)
    columns = list(seen or range(3))
    sentences = [f"a photo of a {method_label}." for method_label in free.label_names]
    cosine = torch.cosine_similarity(free.text_features(), CLIP.encode_texts(sentences))[columns].mean()
    expected = free.loss(batch) + free.loss_settings.weight * 3 * (1 - cosine)
    torch.testing.assert_close(kept.loss(batch), expected)


@pytest.mark.parametrize(("variant", "count"), [("released", 1_135_424), ("clean", 1_135_426)])
def test_it_trains_as_many_numbers_as_published(variant: str, count: int) -> None:
    """The clean variant also trains scale and bias of the logit."""
    assert trained_on_vit_b16(FedMvpConfig.model_validate({"variant": variant})) == count
