"""FedTPG: parity with the published program, the context's dependence on names, and unseen labels."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip
from trainer.methods.fedtpg import FedTPG, FedTpgConfig
from trainer.methods.registry import build

BLOCK = "meta_net.encoder.cross_attend_blocks"
NAMES = {
    "meta_net.soft_prompt": "generator.queries",
    **{
        f"{BLOCK}.0.fn.{part}": f"generator.attention.{part}"
        for part in (
            *("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"),
        )
    },
    **{
        f"{BLOCK}.{theirs}.{part}": f"generator.{ours}.{part}"
        for part in ("weight", "bias")
        for theirs, ours in (
            ("0.norm", "query_norm"),
            ("0.norm_context", "name_norm"),
            ("1.net.0", "norm"),
            ("1.net.1", "widen"),
            ("1.net.3", "narrow"),
        )
    },
}
"""The published parameters' names, and ours."""

CLIP = random_clip()


def fedtpg(labels: tuple[str, ...] = LABELS, seen: tuple[int, ...] | None = None) -> FedTPG:
    context = method_context(FedTpgConfig(), clip=CLIP, labels=labels)
    method = build("fedtpg", dataclasses.replace(context, seen=seen))
    assert isinstance(method, FedTPG)
    return method


def test_the_released_variant_is_the_published_program() -> None:
    """Context, text features, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        "fedtpg",
        lambda hyper: FedTpgConfig(variant="released", context_tokens=hyper["n_ctx"], heads=hyper["heads"]),
        NAMES,
    )
    method, tensors, batch = published.method, published.tensors, published.batch()
    assert isinstance(method, FedTPG)
    with torch.no_grad():
        context = method.generator(method.name_features)
        torch.testing.assert_close(context, tensors["inter.generated_context"][0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method.text_features(), tensors["inter.text_features"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method(batch), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    published.check()


def test_the_context_depends_on_the_set_of_names_not_on_their_order() -> None:
    one, reordered, other = (fedtpg(names) for names in (LABELS, LABELS[::-1], ("boat", "sofa", "cat")))
    with torch.no_grad():
        first, second, third = (method.generator(method.name_features) for method in (one, reordered, other))
    torch.testing.assert_close(second, first, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(third, first, atol=1e-3)


def test_unseen_names_have_no_part_in_training() -> None:
    """The loss is that of a model which knows the seen names alone; evaluation uses all names."""
    batch = random_batch(CLIP)
    method, small = fedtpg(seen=(0, 2)), fedtpg((LABELS[0], LABELS[2]))
    small.receive(method.exchanged())
    seen = batch._replace(labels=batch.labels[:, [0, 2]])
    torch.testing.assert_close(method.loss(batch), small.loss(seen))
    text = method.eval().text_features()
    assert text.shape == (3, CLIP.dim)
    assert not torch.allclose(text[[0, 2]], small.text_features(), atol=1e-4)


@pytest.mark.parametrize(("variant", "count"), [("released", 4_206_080), ("clean", 4_206_082)])
def test_it_trains_as_many_numbers_as_published(variant: str, count: int) -> None:
    """The clean variant also trains scale and bias of the logit."""
    assert trained_on_vit_b16(FedTpgConfig.model_validate({"variant": variant})) == count
