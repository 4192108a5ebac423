"""The losses against the published implementations, and by identities."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.shared import shared
from trainer.heads.losses import asymmetric_loss, contrastive_loss, inconsistency


@pytest.mark.parametrize(
    ("name", "negative", "positive", "clip"),
    [("g2p1", 2.0, 1.0, 0.05), ("g4p1", 4.0, 1.0, 0.05), ("g0p0", 0.0, 0.0, 0.05), ("clip0", 2.0, 1.0, 0.0)],
)
def test_parity_with_the_published_loss(name: str, negative: float, positive: float, clip: float) -> None:
    tensors = load_file(shared("fixtures/losses.safetensors"))
    for seed in range(5):
        logits = tensors[f"s{seed}.logits_pos"].clone().requires_grad_()
        loss = asymmetric_loss(
            logits, tensors[f"s{seed}.labels"], gamma_negative=negative, gamma_positive=positive, clip=clip
        )
        loss.backward()
        torch.testing.assert_close(loss.detach()[None], tensors[f"s{seed}.pos_{name}_loss"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(logits.grad, tensors[f"s{seed}.pos_{name}_grad"], rtol=1e-3, atol=1e-5)


def test_without_focus_it_is_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator)
    labels = (torch.rand(6, 4, generator=generator) < 0.5).float()
    got = asymmetric_loss(logits, labels, gamma_negative=0, gamma_positive=0, clip=0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    torch.testing.assert_close(got, expected)


def test_unknown_labels_cost_nothing() -> None:
    logits = torch.tensor([[5.0, -3.0], [0.5, 2.0]], requires_grad=True)
    labels = torch.tensor([[1.0, -1.0], [-1.0, 0.0]])
    arguments = {"gamma_negative": 2.0, "gamma_positive": 1.0, "clip": 0.05}
    loss = asymmetric_loss(logits, labels, **arguments)
    alone = asymmetric_loss(logits.diagonal()[:, None], torch.tensor([[1.0], [0.0]]), **arguments)
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert logits.grad[1, 0] == 0


def test_parity_with_the_published_contrast() -> None:
    """Also without any label present, where it is 0."""
    tensors = load_file(shared("fixtures/losses.safetensors"))
    for seed in range(5):
        logits = tensors[f"s{seed}.logits_pos"].clone().requires_grad_()
        loss = contrastive_loss(logits, tensors[f"s{seed}.labels"])
        loss.backward()
        torch.testing.assert_close(loss.detach()[None], tensors[f"s{seed}.mmc_loss"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(logits.grad, tensors[f"s{seed}.mmc_grad"], rtol=1e-3, atol=1e-6)
        nothing = contrastive_loss(logits, torch.zeros_like(tensors[f"s{seed}.labels"]))
        torch.testing.assert_close(nothing.detach()[None], tensors[f"s{seed}.mmc_nopos_loss"], rtol=0, atol=0)


def test_unknown_labels_have_no_part_in_the_contrast() -> None:
    logits = torch.tensor([[5.0, -3.0], [0.5, 2.0]], requires_grad=True)
    labels = torch.tensor([[1.0, -1.0], [-1.0, 0.0]])
    loss = contrastive_loss(logits, labels)
    torch.testing.assert_close(loss, -logits.diagonal().log_softmax(0)[0])
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert logits.grad[1, 0] == 0
    unknown = contrastive_loss(logits, -torch.ones(2, 2))
    unknown.backward()
    assert float(unknown.detach()) == 0 and bool(logits.grad.isfinite().all())


def test_text_features_are_consistent_with_their_own_multiples() -> None:
    text = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(inconsistency(text, 2 * text), torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(inconsistency(text, -text), torch.tensor(2.0))
