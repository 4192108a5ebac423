"""FedPGP: parity with the published program, its personal part, and what the contrast pulls at."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.methods.published_tensors import Published, trained_on_vit_b16
from tests.trainer.small_runs import contents, new_run, prepared
from tests.trainer.tiny import method_context, random_batch, random_clip
from trainer.federation.memory import ClientMemory
from trainer.methods.fedpgp import FedPGP, FedPgpConfig
from trainer.methods.registry import build
from trainer.train import train

CLIP = random_clip()


def fedpgp(seen: tuple[int, ...] | None = None, **settings: Any) -> FedPGP:
    context = method_context(FedPgpConfig(**settings), clip=CLIP)
    method = build("fedpgp", dataclasses.replace(context, seen=seen))
    assert isinstance(method, FedPGP)
    return method.eval()


def test_the_released_variant_is_the_published_program() -> None:
    """Text features of its passes, logits, loss, gradients, and three steps of its optimiser."""
    published = Published(
        "fedpgp",
        lambda hyper: FedPgpConfig(
            variant="released",
            contexts=hyper["N"],
            context_tokens=hyper["n_ctx"],
            rank=hyper["rank"],
            contrast=hyper["mu"],
            contrast_temperature=hyper["temp"],
        ),
        {"U": "left", "V": "right", "sigma": "shared"},
    )
    method, tensors = published.method, published.tensors
    assert isinstance(method, FedPGP)
    passes = [tensors[f"inter.text_features.{index}"] for index in range(4)]
    with torch.no_grad():
        whole, shared = method.text_features().flatten(1, 2)
        for found, expected in ((whole, passes[0]), (shared, passes[2])):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method.guide, F.normalize(passes[1][:5], dim=-1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(method(published.batch()), tensors["outputs.logits"], atol=5e-4, rtol=1e-4)
    published.check()


def test_the_contrast_is_between_clip_and_the_client() -> None:
    """σ's text at CLIP's and p's text opposite: no loss but log(1 + exp(-2/τ)) with cosines 1 and -1."""
    method, batch = fedpgp(contrast_temperature=0.5), random_batch(CLIP)
    guide = method.guide.expand(2, -1, -1)
    near, far = (method.extra_loss(batch, torch.stack([sign * guide, guide]), torch.empty(0)) for sign in (-1, 1))
    assert float(near) == pytest.approx(0.02 * math.log1p(math.exp(-4)), rel=1e-4)
    assert float(far) == pytest.approx(0.02 * math.log(2), rel=1e-4)
    assert float(fedpgp(contrast=0).extra_loss(batch, torch.stack([guide, guide]), torch.empty(0))) == 0


def test_every_context_scores_in_the_clean_variant_and_one_in_the_released() -> None:
    batch = random_batch(CLIP)
    for variant, trained in (("clean", [True, True]), ("released", [True, False])):
        method = fedpgp(variant=variant)
        method.loss(batch).backward()
        gradient = method.shared.grad
        assert gradient is not None
        assert [bool(one.abs().sum() > 0) for one in gradient] == trained


def test_unseen_labels_have_no_part_in_the_contrast() -> None:
    batch = random_batch(CLIP)
    for variant in ("clean", "released"):
        method, whole = fedpgp(seen=(0, 2), variant=variant), fedpgp(variant=variant)
        text, rows = whole.text_features(), torch.tensor([0, 2])
        whole.guide = whole.guide[rows]
        expected = whole.extra_loss(batch, text[:, :, rows], torch.empty(0))
        torch.testing.assert_close(method.extra_loss(batch, text[:, :, rows], torch.empty(0)), expected)


def test_the_low_rank_part_stays_with_its_client(tmp_path: Path, cache: Path) -> None:
    """It is in no checkpoint, differs between clients, and every checkpoint leads to the same bits."""
    run, config = new_run(tmp_path / "run", method__name="fedpgp", method__context_tokens=4, federation__rounds=3)
    ready = prepared(config, cache)
    train(run, ready)
    assert set(run.load_checkpoint()[1]) == {"shared", "head.logit.scale", "head.logit.bias"}
    memory = ClientMemory.open(run.clients, 3)
    first, second = (memory.load(client) for client in (0, 1))
    assert first is not None
    assert second is not None
    assert first.personal.keys() == {"left", "right"}
    assert all(not torch.equal(first.personal[name], second.personal[name]) for name in first.personal)
    whole = contents(run)
    train(run, prepared(config, cache), "1")
    assert contents(run) == whole


@pytest.mark.parametrize(("variant", "count"), [("released", 20_608), ("clean", 20_610)])
def test_it_trains_as_many_numbers_as_published(variant: str, count: int) -> None:
    """The clean variant also trains scale and bias of the logit."""
    assert trained_on_vit_b16(FedPgpConfig.model_validate({"variant": variant})) == count
