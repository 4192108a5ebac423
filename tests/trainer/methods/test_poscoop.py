"""PositiveCoOp: parity with the published program, and what the clean variant trains."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip
from trainer.config.sections import OptimiserConfig
from trainer.federation.optimiser import make_optimiser
from trainer.federation.rounds import RoundContext
from trainer.methods.poscoop import PosCoOp, PosCoOpConfig
from trainer.methods.registry import build

CLIP = random_clip()


def poscoop(variant: str) -> PosCoOp:
    method = build("poscoop", method_context(PosCoOpConfig.model_validate({"variant": variant}), clip=CLIP))
    assert isinstance(method, PosCoOp)
    return method.eval()


def test_the_released_variant_is_the_published_program() -> None:
    """Text features, logits, loss, gradients, and three steps of its optimiser, with its frozen tables."""
    published = Published(
        "poscoop",
        lambda hyper: PosCoOpConfig(variant="released", context_tokens=hyper["n_ctx"]),
        {"ctx_pos": "context"},
    )
    method, tensors = published.method, published.tensors
    assert isinstance(method, PosCoOp)
    method.negative.copy_(tensors["frozen.neg_table"])
    method.offset.copy_(tensors["frozen.pos_offset"])
    with torch.no_grad():
        text = method.text_features()
        torch.testing.assert_close(text[1] - method.offset, tensors["inter.text_features"], atol=1e-4, rtol=1e-4)
        negative, positive = tensors["outputs.logits"].unbind(1)
        torch.testing.assert_close(method(published.batch()), positive - negative, atol=5e-4, rtol=1e-4)
    published.check()


def test_the_clean_variant_starts_from_clip() -> None:
    """Before training, a label's logit compares its prompt with a photo of nothing in particular."""
    method, batch = poscoop("clean"), random_batch(CLIP)
    negative, positive = method.text_features()
    nothing = CLIP.encode_texts(["a photo."])
    torch.testing.assert_close(negative, nothing.expand(len(LABELS), -1))
    (prompts,) = method.encode_contexts([method.context])
    torch.testing.assert_close(positive, prompts)
    alone = batch._replace(patches=batch.patches[:, :0])
    image, difference = F.normalize(batch.image, dim=-1), F.normalize(prompts, dim=-1) - F.normalize(nothing, dim=-1)
    torch.testing.assert_close(method(alone), 100 * image @ difference.T, atol=1e-4, rtol=1e-4)


def test_the_clean_variant_trains_what_the_released_one_leaves_random() -> None:
    clean, released = poscoop("clean"), poscoop("released")
    batch = random_batch(CLIP)
    for method in (clean, released):
        method.loss(batch).backward()
    assert {name for name, p in clean.named_parameters() if p.grad is not None} == {"context", "offset", "negative"}
    assert {name for name, _ in released.named_parameters()} == {"context"}
    assert clean.exchanged().keys() == released.exchanged().keys(), "a state of either is complete"
    groups = make_optimiser(clean, OptimiserConfig(), RoundContext(0, 10)).param_groups
    assert [(len(group["params"]), group["lr"], group["weight_decay"]) for group in groups] == [
        (1, pytest.approx(1e-4), 0),
        (2, pytest.approx(1e-2), 0),
    ]


@pytest.mark.parametrize(("variant", "count"), [("released", 8_192), ("clean", 28_672)])
def test_it_trains_as_many_numbers_as_published(variant: str, count: int) -> None:
    """The clean variant as many as the authors' own program, the released one as the federated program."""
    assert trained_on_vit_b16(PosCoOpConfig.model_validate({"variant": variant})) == count
