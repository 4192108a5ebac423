"""The asymmetric loss against the published implementation, and by identities."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from tests.shared import shared
from trainer.heads.losses import asymmetric_loss


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
