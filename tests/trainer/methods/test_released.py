"""The released FedMPT against tensors that the published program computed, and the settings that turn off its bugs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.shared import shared
from tests.trainer.tiny import fixture_clip, method_context, random_clip
from trainer.backbone.vision import frozen_tokens
from trainer.data.batches import Batch
from trainer.data.registry import load_dataset
from trainer.evaluation.measuring import evaluate
from trainer.methods.fedmpt_released import FedMPTReleased, FedMptReleasedConfig
from trainer.methods.registry import build
from trainer.preparing import Reporter, assemble
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.train import train

NAMES = {
    "ctx": "class_tokens",
    "attr_ctx": "condition_tokens",
    "cross_attention.in_proj_weight": "attention.in_proj_weight",
    "cross_attention.in_proj_bias": "attention.in_proj_bias",
    "cross_attention.out_proj.weight": "attention.out_proj.weight",
    "cross_attention.out_proj.bias": "attention.out_proj.bias",
    "pro.0.weight": "visual_prompt.0.weight",
    "pro.0.bias": "visual_prompt.0.bias",
    "pro.2.weight": "visual_prompt.2.weight",
    "pro.2.bias": "visual_prompt.2.bias",
}
"""The published parameters' names, and ours."""


def released(labels: tuple[str, ...], clip: Any, **settings: Any) -> FedMPTReleased:
    method = build("fedmpt-released", method_context(FedMptReleasedConfig(**settings), clip=clip, labels=labels))
    assert isinstance(method, FedMPTReleased)
    return method


@pytest.mark.parametrize("fixture", ["fedmpt", "fedmpt_temp2"])
def test_parity_with_the_published_program(fixture: str) -> None:
    """Logits, loss, gradients, and three steps of its optimiser."""
    described = json.loads(shared(f"fixtures/{fixture}.json").read_text())
    tensors = load_file(shared(f"fixtures/{fixture}.safetensors"))
    hyper = described["hyper"]
    method = released(
        tuple(described["classes"]),
        fixture_clip(),
        condition_tokens=hyper["cond_tokens"],
        class_tokens=hyper["cls_tokens"],
        latent=hyper["latent"],
        temperature=hyper["temp"],
        heads=hyper["heads"],
        conditions=hyper["conditions"],
    ).eval()
    method.receive({own: tensors[f"params.{theirs}"] for theirs, own in NAMES.items()})
    frozen = frozen_tokens(method.clip, tensors["inputs.images"], 0)
    batch = Batch.of(tensors["inputs.labels"], **frozen._asdict())

    torch.testing.assert_close(method(batch), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    loss = method.loss(batch)
    torch.testing.assert_close(loss[None], tensors["outputs.loss"], atol=0, rtol=1e-5)
    loss.backward()
    for theirs, own in NAMES.items():
        expected, found = tensors[f"grads.{theirs}"], method.get_parameter(own).grad
        assert found is not None
        assert float((found - expected).abs().max()) <= 1e-3 * float(expected.abs().max()), own

    optimiser = torch.optim.SGD(method.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-5)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        value = method.loss(batch)
        losses.append(value.detach())
        value.backward()
        optimiser.step()
    losses.append(method.loss(batch).detach())
    torch.testing.assert_close(torch.stack(losses), tensors["traj.losses"], atol=0, rtol=1e-3)


def test_it_trains_as_many_numbers_as_published() -> None:
    """(4 + 4)·Dt, attention 4·D² + 4·D, and two layers D → h → Dv with biases: 1,137,472 with ViT-B/16 (§1)."""
    clip = random_clip()
    method = released(("cat", "dog"), clip)
    dt, d, dv, h = 32, 24, 32, 64
    assert method.trainable() == 8 * dt + 4 * d * d + 4 * d + d * h + h + h * dv + dv
    assert 8 * 512 + 4 * 512 * 512 + 4 * 512 + 512 * 64 + 64 + 64 * 768 + 768 == 1_137_472


def test_a_second_word_is_overwritten_unless_all_are_kept() -> None:
    """Published: [SOS] a a a a spatial c c c c X cat . ; mended: [SOS] a a a a spatial layout c c c c cat ."""
    clip = random_clip()
    first, second = clip.token_ids("spatial layout")
    start, x = clip.tokenizer.sot_token_id, clip.token_ids("X")
    for words, kept, left in (("first", [first], x), ("all", [first, second], [])):
        method = released(("cat",), clip, condition_words=words, conditions=("spatial layout",))
        expected = [
            clip.embed([start]),
            method.condition_tokens,
            clip.embed(kept),
            method.class_tokens,
            clip.embed(left),
        ]
        torch.testing.assert_close(method._prefixes()[0], torch.cat(expected))


def test_scores_lie_where_the_specification_says() -> None:
    """|logit| ≤ (C - 1) / (N √C) where one condition holds the gate: standardised scores can be no larger."""
    labels = tuple(f"thing {i}" for i in range(8))
    method = released(labels, random_clip()).eval()
    pixels = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = Batch.of(torch.zeros(6, 8), **frozen_tokens(method.clip, pixels, 0)._asdict())
    logits = method(batch)
    assert float(logits.detach().abs().max()) <= 7 / (5 * 8**0.5)
    torch.testing.assert_close(logits.sum(1), torch.zeros(6), atol=1e-5, rtol=0)
    evidence = method.evidence(batch, method.text_features())
    assert evidence.places is not None
    assert evidence.shares is not None
    torch.testing.assert_close(evidence.shares.sum(1), logits)
    torch.testing.assert_close(evidence.places.sum(1), torch.ones(6, 8))


def test_a_run_caches_tokens_and_dropout_is_seeded(tmp_path: Path) -> None:
    """The round's figures are the same bits twice, whatever the global generator did before."""
    config = resolve(
        overrides={
            "method.name": "fedmpt-released",
            **{"data.sites": 2, "data.images_per_site": 6, "data.validation_images": 24, "data.test_images": 24},
            **{"federation.rounds": 2, "optimiser.batch_size": 4, "evaluation.bootstrap": 0},
        }
    )
    lines, clip = [], random_clip()
    for attempt in range(2):
        torch.manual_seed(attempt)
        run = Run.create(tmp_path / str(attempt), config, None)
        ready = assemble(config, load_dataset(config.data), clip, None, tmp_path / "cache", Reporter())
        train(run, ready)
        lines.append((run.folder / "metrics.jsonl").read_bytes())
    assert lines[0] == lines[1]
    assert evaluate(run, ready)["description"]["title"] == "fedmpt, as released"
    assert {file.name for file in (tmp_path / "cache").rglob("*.npy")} == {"image.npy", "tokens.npy"}
