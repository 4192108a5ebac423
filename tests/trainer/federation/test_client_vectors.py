"""FedAWA's rules: parity with the published one, and what the optimised weights do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from tests.shared import shared
from trainer.config.sections import FederationConfig
from trainer.errors import RunFailed
from trainer.federation.aggregation.client_vectors import optimised_weights
from trainer.federation.aggregation.registry import aggregate, choose_rule
from trainer.federation.replies import Reply, State

seeds = st.integers(0, 10_000)


def merged(rule: str, replies: list[Reply], server: State, **more: object) -> State:
    config = FederationConfig.model_validate({"aggregation": rule, **more})
    return aggregate(choose_rule(config, "mean"), replies, server, config)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(weights: Tensor, vectors: Tensor, server: Tensor) -> float:
    """Σ_k λ_k ‖τ_k - τ‖ + 1 - cos(θ + τ, θ), written out."""
    whole = (weights[:, None] * vectors).sum(0)
    distances = (vectors - whole).norm(dim=1)
    return float((weights * distances).sum() + 1 - torch.cosine_similarity(server + whole, server, dim=0))


def test_the_released_rule_is_the_published_program() -> None:
    """It drops the clients that are most like the mean."""
    tensors = load_file(shared("fixtures/aggregation.safetensors"))
    for seed in range(5):
        clients = tensors[f"s{seed}.clients"]
        replies = [Reply(i, {"ctx": c}, 7 + i, 0.0) for i, c in enumerate(clients)]
        found = merged("fedawa-released", replies, {"ctx": clients[0]})
        torch.testing.assert_close(found["ctx"], tensors[f"s{seed}.fedawa"], atol=1e-7, rtol=1e-6)


def test_the_released_rule_keeps_a_single_client() -> None:
    state = {"ctx": normal(0, 4, 8).float()}
    assert torch.equal(merged("fedawa-released", [Reply(3, state, 1, 0.0)], state)["ctx"], state["ctx"])


@settings(max_examples=30, deadline=None)
@given(seed=seeds, clients=st.integers(2, 7))
def test_steps_lower_the_objective(seed: int, clients: int) -> None:
    """From equal weights, and they stay weights. A step of Adam may pass the minimum, so steps are small here."""
    vectors, server = normal(seed, clients, 12), 3 * normal(seed + 1, 12)
    start = torch.full((clients,), 1 / clients, dtype=torch.float64)
    found = optimised_weights(vectors, server, start, 10, 0.005)
    assert float(found.min()) > 0 and float(found.sum()) == pytest.approx(1)
    assert objective(found, vectors, server) <= objective(start, vectors, server)


def test_clients_that_agree_weigh_more_than_one_that_does_not() -> None:
    direction = normal(0, 20)
    vectors = torch.stack([*(direction + 0.1 * normal(i, 20) for i in range(1, 5)), -direction])
    found = optimised_weights(vectors, normal(9, 20), torch.full((5,), 0.2, dtype=torch.float64), 10, 0.1)
    assert float(found[-1]) < 0.1
    assert float(found[:-1].min()) > 0.2


@settings(max_examples=20, deadline=None)
@given(seed=seeds, clients=st.integers(1, 5))
def test_no_step_is_the_mean(seed: int, clients: int) -> None:
    """By clients and by examples; integers are aggregated beside it."""
    replies = [
        Reply(c, {"w": normal(seed + c, 3, 4).float(), "n": torch.tensor(c)}, c + 1, 0.0) for c in range(clients)
    ]
    server = {"w": normal(seed + 9, 3, 4).float(), "n": torch.tensor(0)}
    for weights in ("uniform", "examples"):
        found, expected = (
            merged(rule, replies, server, weights=weights, awa_steps=0)["w"] for rule in ("fedawa", "mean")
        )
        torch.testing.assert_close(found, expected)
    assert merged("fedawa", replies, server)["n"].item() == round((clients - 1) / 2)


def test_clients_that_changed_nothing_change_nothing() -> None:
    server = {"w": normal(0, 3, 4).float()}
    assert torch.equal(merged("fedawa", [Reply(c, server, 1, 0.0) for c in range(3)], server)["w"], server["w"])
    zeros = {"w": torch.zeros(3, 4)}
    assert torch.equal(merged("fedawa", [Reply(c, zeros, 1, 0.0) for c in range(3)], zeros)["w"], zeros["w"])


def test_clients_without_images_cannot_be_weighted_by_them() -> None:
    server = {"w": torch.ones(3)}
    with pytest.raises(RunFailed, match="have no images"):
        merged("fedawa", [Reply(0, server, 0, 0.0)], server, weights="examples")
    one = [Reply(0, {"w": torch.ones(3)}, 0, 0.0), Reply(1, {"w": torch.zeros(3)}, 2, 0.0)]
    assert merged("fedawa", one, server, weights="examples")["w"].tolist() == [0, 0, 0]
