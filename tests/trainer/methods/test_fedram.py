"""RAM: parity with the published program, its clean scores, and what is computed once per image."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.tiny import method_context, random_batch, random_clip
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.methods.base import Method
from trainer.methods.fedram import FedRAM, FedRamConfig
from trainer.methods.registry import build

VISION = "visual.transformer.resblocks"
MODULES = {
    "conv_adapter_layers1.0": "point",
    "conv_adapter_layers1.1": "point_norm",
    "conv_adapter_layers2.0": "area",
    "conv_adapter_layers2.1": "area_norm",
    "conv_adapter_layers": "gates",
    "conv_adapter_final": "widen",
    "adapter_norm_q1": "point_query_norm",
    "adapter_norm_q2": "area_query_norm",
    "adapter_norm_kv": "text_norm",
}
"""The published adapter's modules, and ours."""

PARAMETERS = {
    f"{VISION}.{block}.conv_adapter.{theirs}.{part}": f"blocks.adapters.{block - 1}.{ours}.{part}"
    for block in (1, 2)
    for theirs, ours in MODULES.items()
    for part in (("weight", "bias") if "norm" in ours else ("weight",))
}
PROMPTS = {
    **{f"{VISION}.{block}.adapt_embeds": f"blocks.prompts.{block - 1}" for block in (1, 2)},
    **{f"transformer.resblocks.{block}.deep_embeds": f"text_prompts.{block - 1}" for block in (1, 2)},
}
BUFFERS = {
    f"{VISION}.{block}.conv_adapter.{theirs}.{part}": f"blocks.adapters.{block - 1}.{MODULES[theirs]}.{part}"
    for block in (1, 2)
    for theirs in ("conv_adapter_layers1.1", "conv_adapter_layers2.1")
    for part in ("running_mean", "running_var")
}

CLIP = random_clip()


def published() -> Published:
    return Published(
        "ram",
        lambda hyper: FedRamConfig(
            variant="released",
            vision_layers=len(hyper["depth_vision"]),
            text_layers=len(hyper["depth_text"]),
            vision_tokens=hyper["vision_prompt_tokens"],
            text_tokens=hyper["text_prompt_tokens"],
            entropy=hyper["reg"],
            teacher=hyper["reg_teacher"],
        ),
        {**PARAMETERS, **PROMPTS},
        BUFFERS,
    )


def fedram(**settings: Any) -> FedRAM:
    method = build("fedram", method_context(FedRamConfig(**settings), clip=CLIP)).eval()
    assert isinstance(method, FedRAM)
    return method


def adamw(method: Method) -> torch.optim.Optimizer:
    adapters = list(method.get_submodule("blocks.adapters").parameters())
    own = {id(parameter) for parameter in adapters}
    prompts = [p for p in method.parameters() if p.requires_grad and id(p) not in own]
    groups = [{"params": adapters, "lr": 5e-6}, {"params": prompts, "lr": 1e-3}]
    return torch.optim.AdamW(groups, weight_decay=1e-4)


def test_the_parts_are_the_published_programs() -> None:
    """An adapter, the teacher, the costs, and the plans in training and in evaluation."""
    one = published()
    method, tensors, batch = one.method, one.tensors, one.batch()
    assert isinstance(method, FedRAM)
    with torch.no_grad():
        text = tensors["inter.lla_text"][:, 0]
        entering = tensors["inter.lla_in"][1:].transpose(0, 1)
        leaving = tensors["inter.lla_out"][1:].transpose(0, 1)
        torch.testing.assert_close(method.blocks.adapters[0](entering, text), leaving, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method.text_features(), text, atol=1e-4, rtol=1e-4)
        scale = method.clip.scale
        _, plan = method.match(method.compare(batch, text).patches, scale)
        torch.testing.assert_close(plan, tensors["inter.eval_plan"], atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(method(batch), tensors["outputs.score_eval"], atol=1e-4, rtol=1e-3)
        added = method.taught(batch, batch.labels)
        _, plan = method.match(method.compare(batch, text).patches, scale, added)
        torch.testing.assert_close(plan, tensors["inter.plan"], atol=1e-5, rtol=1e-3)


def test_the_released_variant_is_the_published_program() -> None:
    """Loss and gradients, and three steps of its optimiser."""
    published().check(adamw, loss_rtol=2e-6)


def test_batch_statistics_are_the_published_programs() -> None:
    one = published()
    one.method.train()
    one.check_gradients("outputs.loss_bn_train", "grads_bn_train", 1e-5)


def test_clean_scores_are_probabilities() -> None:
    """The sigmoid of clean logits is the mean of two softmaxes; the released variant hands that mean on as a logit."""
    clean, released = fedram(), fedram(variant="released")
    released.receive(clean.exchanged())
    # One image, so that both stop their transport alike up to the tolerance.
    batch = random_batch(CLIP, 1, reads=clean.reads)
    with torch.no_grad():
        scores = clean(batch).sigmoid()
        torch.testing.assert_close(scores.sum(-1), torch.ones(1))
        torch.testing.assert_close(released(batch), scores, atol=2e-2, rtol=0)


def test_an_images_score_does_not_depend_on_its_batch() -> None:
    method = fedram()
    batch = random_batch(CLIP, 4, reads=method.reads)
    alone = type(batch)(*(None if part is None else part[:1] for part in batch))
    with torch.no_grad():
        torch.testing.assert_close(method(batch)[:1], method(alone), atol=1e-4, rtol=1e-4)


def test_the_adapters_rate() -> None:
    """A factor of the run's in the clean variant; in the released one fixed, so that a factor is refused."""
    rates = {"clean": {"learning_rate": None, "factor": 0.005}, "released": {"learning_rate": 5e-6, "factor": 1.0}}
    for variant, expected in rates.items():
        ((_, prompts), (group, adapters)) = fedram(variant=variant).grouped()
        assert {key: getattr(group, key) for key in expected} == pytest.approx(expected)
        assert (len(prompts), len(adapters)) == (4, 2 * 14)
    with pytest.raises(ValueError, match="no effect with variant=released"):
        FedRamConfig(variant="released", adapter_rate=0.1)


def test_unknown_labels_are_absent_in_the_released_variant_only() -> None:
    clean, released = fedram(), fedram(variant="released")
    released.receive(clean.exchanged())
    batch = random_batch(CLIP, reads=clean.reads)
    unknown, absent = batch.labels.clone(), batch.labels.clone()
    unknown[:, 1], absent[:, 1] = -1, 0
    for method, same in ((clean, False), (released, True)):
        losses = [method.loss(batch._replace(labels=labels)).detach() for labels in (unknown, absent)]
        assert torch.allclose(*losses) == same
    clean.loss(batch._replace(labels=unknown)).backward()
    assert all(bool(p.grad.isfinite().all()) for p in clean.parameters() if p.grad is not None)


@pytest.mark.parametrize("layers", [1, 2])
def test_frozen_blocks_and_the_teacher_are_computed_once_per_image(layers: int) -> None:
    """What is cached leads to the scores that a tower with all of its blocks adapted at zero strength gives."""
    method = fedram(vision_layers=layers)
    assert method.reads == f"streams@{2 - layers}"
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    encoding = Encoding.of(CLIP, method.reads)
    frozen = encoding.encode(pixels)
    assert {name: tuple(part.shape) for name, part in frozen.items()} == encoding.shapes(2)
    torch.testing.assert_close(frozen["image"], CLIP.encode_image(pixels).image, atol=1e-5, rtol=1e-4)
    whole = Encoding.of(CLIP, "streams@0").encode(pixels)
    torch.testing.assert_close(frozen["patches"], whole["patches"])
    assert method(batch_of_pixels(method.reads, encoding, pixels, torch.zeros(2, 3))).shape == (2, 3)


@pytest.mark.parametrize("variant", ["clean", "released"])
def test_it_trains_as_many_numbers_as_published(variant: str) -> None:
    """The adapters and the prompts; the temperatures are fixed in both variants."""
    assert trained_on_vit_b16(FedRamConfig.model_validate({"variant": variant})) == 13_022_316
