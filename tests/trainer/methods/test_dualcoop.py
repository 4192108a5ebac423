"""DualCoOp: parity with the published program, and where its two prompts are compared."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import method_context, random_batch, random_clip
from trainer.methods.dualcoop import DualCoOp, DualCoOpConfig
from trainer.methods.registry import build

CLIP = random_clip()


def dualcoop() -> DualCoOp:
    method = build("dualcoop", method_context(DualCoOpConfig(), clip=CLIP))
    assert isinstance(method, DualCoOp)
    return method.eval()


def test_it_is_the_published_program() -> None:
    """Text features, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        "dualcoop",
        lambda hyper: DualCoOpConfig(context_tokens=hyper["n_ctx"]),
        {"ctx_pos": "positive", "ctx_neg": "negative"},
    )
    method, tensors = published.method, published.tensors
    with torch.no_grad():
        torch.testing.assert_close(
            method.text_features().flatten(0, 1), tensors["inter.text_features"], atol=1e-4, rtol=1e-4
        )
        negative, positive = tensors["outputs.logits"].unbind(1)
        torch.testing.assert_close(method(published.batch()), positive - negative, atol=5e-4, rtol=1e-4)
        probability = tensors["outputs.logits"].softmax(1)[:, 1]
        torch.testing.assert_close(method(published.batch()).sigmoid(), probability, atol=1e-4, rtol=1e-4)
    published.check()


def test_equal_prompts_decide_nothing() -> None:
    method, batch = dualcoop(), random_batch(CLIP)
    method.receive({"negative": method.positive.detach().clone(), "positive": method.positive.detach().clone()})
    torch.testing.assert_close(method(batch), torch.zeros(4, 3), atol=1e-4, rtol=0)


def test_both_prompts_are_compared_at_the_places_of_the_positive() -> None:
    """Other negative prompts leave the explanation as it is; one image token alone is scored by its cosines."""
    method, batch = dualcoop(), random_batch(CLIP)
    text = method.text_features().detach()
    other = torch.stack([torch.randn_like(text[0]), text[1]])
    places, same = (method.evidence(batch, one).places for one in (text, other))
    assert places is not None
    assert same is not None
    torch.testing.assert_close(same, places)
    torch.testing.assert_close(places.sum(1), torch.ones(4, 3))
    alone = batch._replace(patches=batch.patches[:, :0])
    cosines = F.normalize(batch.image, dim=-1) @ F.normalize(text, dim=-1).mT
    torch.testing.assert_close(method.logits(alone, text), 100 * (cosines[1] - cosines[0]), atol=1e-4, rtol=1e-4)


def test_it_trains_as_many_numbers_as_published() -> None:
    assert trained_on_vit_b16(DualCoOpConfig()) == 16_384
