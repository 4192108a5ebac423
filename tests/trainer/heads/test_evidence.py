"""The explanation of a score adds up to the score, for every method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip, small_bank
from trainer.methods.base import Method
from trainer.methods.coop import CoOpConfig
from trainer.methods.fedmpt import FedMptConfig
from trainer.methods.registry import build
from trainer.methods.zero_shot import ZeroShotConfig

CLIP = random_clip()
BATCH = random_batch(CLIP)


def moved(method: Method) -> Method:
    """With every exchanged number moved, so that gate and adapters say something."""
    generator = torch.Generator().manual_seed(3)
    state = method.exchanged()
    method.receive({k: v + 0.3 * torch.randn(v.shape, generator=generator) for k, v in state.items()})
    return method


@pytest.mark.parametrize("matching", ["softmax", "transport", "shares"])
@pytest.mark.parametrize("switches", [{}, {"gate": False}, {"adapters": False}])
@torch.no_grad()
def test_what_the_conditions_add_is_the_logit(matching: Any, switches: dict[str, bool]) -> None:
    method = moved(build("fedmpt", method_context(FedMptConfig(matching=matching, **switches), small_bank(), CLIP)))
    text = method.text_features()
    found = method.evidence(BATCH, text)
    assert found.gate is not None and found.shares is not None and found.scores is not None
    assert found.places is not None
    torch.testing.assert_close(found.shares.sum(1), method.logits(BATCH, text), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.gate.sum(1), torch.ones(len(BATCH.image)))
    assert found.scores.shape == (4, 2, len(LABELS))
    assert found.places.shape == (4, CLIP.patches, len(LABELS))
    torch.testing.assert_close(found.places.sum(1), torch.ones(4, len(LABELS)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [CoOpConfig(pooling="max"), ZeroShotConfig(pooling="max")])
@torch.no_grad()
def test_the_best_patch_gives_the_score(settings: Any) -> None:
    method = moved(build(settings.name, method_context(settings, clip=CLIP)))
    text = method.text_features()
    found = method.evidence(BATCH, text)
    assert found.places is not None
    cosines = F.normalize(BATCH.patches, dim=-1) @ text.T
    scored = method.logit((found.places * cosines).sum(1))  # type: ignore[operator]
    torch.testing.assert_close(scored, method.logits(BATCH, text))
    assert (found.gate, found.shares, found.scores) == (None, None, None)


@pytest.mark.parametrize("settings", [CoOpConfig(), ZeroShotConfig(pooling="image")])
@torch.no_grad()
def test_a_method_that_sees_the_whole_image_says_so(settings: Any) -> None:
    method = build(settings.name, method_context(settings, clip=CLIP))
    found = method.evidence(BATCH, method.text_features())
    assert found.places is None
    assert "as a whole" in found.places_are


def test_given_text_features_are_used() -> None:
    """Inference from an export has them without a text tower."""
    method = moved(build("coop", method_context(CoOpConfig(), clip=CLIP)))
    with method.evaluating():
        own = method(BATCH)
    text = method.text_features().detach()
    method.text_features = lambda: pytest.fail("encoded")  # type: ignore[method-assign]
    with method.evaluating(text):
        torch.testing.assert_close(method(BATCH), own)
