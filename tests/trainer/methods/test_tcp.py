"""TCP: parity with the published program, names that it cuts off, and class tokens."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import method_context, random_batch, random_clip
from trainer.methods.registry import build
from trainer.methods.tcp import TCP, TcpConfig

CLIP = random_clip(layers=3)
NAMES = {
    "ctx": "context",
    "meta_net.linear1.weight": "class_network.0.weight",
    "meta_net.linear1.bias": "class_network.0.bias",
    "meta_net.linear2.weight": "class_network.2.weight",
    "meta_net.linear2.bias": "class_network.2.bias",
}
"""The published parameters' names, and ours."""


def tcp(labels: tuple[str, ...] = ("cat", "dog"), seen: tuple[int, ...] | None = None, **settings: Any) -> TCP:
    context = method_context(TcpConfig(**settings), clip=CLIP, labels=labels)
    method = build("tcp", dataclasses.replace(context, seen=seen))
    assert isinstance(method, TCP)
    return method.eval()


@pytest.mark.parametrize("fixture", ["tcp", "tcp_nctx4"])
def test_the_released_variant_is_the_published_program(fixture: str) -> None:
    """Class tokens, text features, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        fixture,
        lambda hyper: TcpConfig(
            variant="released",
            context_tokens=hyper["n_ctx"],
            layer=hyper["inject_layer"],
            consistency=hyper["reg"],
        ),
        NAMES,
    )
    method, tensors = published.method, published.tensors
    assert isinstance(method, TCP)
    with torch.no_grad():
        torch.testing.assert_close(method.frozen, tensors["frozen.class_text_features"], atol=1e-5, rtol=1e-4)
        own = method.class_network(method.frozen).unflatten(-1, (4, -1))
        torch.testing.assert_close(own, tensors["inter.class_tokens"], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method.text_features(), tensors["inter.text_features"], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method(published.batch()), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    published.check()


@pytest.mark.parametrize("labels", [("cat", "dining table"), ("cat", "a very old " * 5 + "cat")])
@pytest.mark.parametrize("tokens", [4, 7])
def test_the_released_text_is_the_context_over_a_sentence(labels: tuple[str, ...], tokens: int) -> None:
    """Against every position of the sentence run plainly, with no class tokens but those of the same layer."""
    method = tcp(labels, variant="released", context_tokens=tokens, layer=2)
    model = CLIP.model
    expected = []
    for label, own in zip(labels, method.class_network(method.frozen).unflatten(-1, (4, -1)), strict=True):
        ids = [*CLIP.token_ids(f"a photo of a {label}."), CLIP.tokenizer.eot_token_id]
        rows = torch.cat([method.start, CLIP.embed(ids), torch.zeros(40 - len(ids), 32)])
        rows[1 : 1 + tokens] = method.context
        x = (rows + model.positional_embedding[:41])[None]
        for number, block in enumerate(model.transformer.resblocks):
            if number == 2:
                x = torch.cat([x[:, :1], own[None], x[:, 5:]], dim=1)
            x = block(x, attn_mask=model.attn_mask[:41, :41])
        expected.append(model.ln_final(x[0, len(ids)]) @ model.text_projection)
    torch.testing.assert_close(method.text_features(), torch.stack(expected), atol=1e-5, rtol=1e-4)


def test_long_contexts_cut_names_off_unless_clean() -> None:
    """Names of one token, and the same class tokens for all: the released text cannot tell them apart."""
    for variant, differs in (("released", False), ("clean", True)):
        method = tcp(variant=variant, context_tokens=16)
        for parameter in method.class_network.parameters():
            torch.nn.init.zeros_(parameter)
        first, second = method.text_features()
        assert torch.allclose(first, second, atol=1e-5) is not differs


def test_the_variants_agree_on_short_contexts() -> None:
    clean, released = (tcp(variant=variant, context_tokens=4) for variant in ("clean", "released"))
    torch.testing.assert_close(released.text_features(), clean.text_features(), atol=1e-5, rtol=1e-4)


def test_a_context_of_four_starts_from_words() -> None:
    torch.testing.assert_close(tcp().context.detach(), CLIP.embed(CLIP.token_ids("a photo of a")))
    assert tcp(variant="released").context.shape[0] == 16


def test_the_term_measures_the_distance_from_clip() -> None:
    """0 at CLIP's own text, and 8 times 2 opposite to it; of the labels in training alone."""
    method = tcp(("cat", "dog", "car"), seen=(0, 2))
    batch, near = random_batch(CLIP), method.frozen[[0, 2]]
    assert float(method.extra_loss(batch, near, torch.empty(0))) == pytest.approx(0, abs=1e-5)
    assert float(method.extra_loss(batch, -near, torch.empty(0))) == pytest.approx(16, abs=1e-4)


@pytest.mark.parametrize(("settings", "count"), [({"variant": "released"}, 338_048), ({}, 338_048 - 12 * 512 + 2)])
def test_it_trains_as_many_numbers_as_published(settings: dict[str, Any], count: int) -> None:
    """The clean variant has 4 tokens instead of 16, and also trains scale and bias of the logit."""
    assert trained_on_vit_b16(TcpConfig.model_validate(settings)) == count
