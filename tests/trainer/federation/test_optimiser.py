"""A client's optimiser: parameter groups take effect, and its state can be saved and restored."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tests.shared import shared
from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.federation.optimiser import (
    client_state_bytes,
    group_learning_rate,
    make_optimiser,
    optimiser_state,
    restore_optimiser,
)
from trainer.federation.rounds import RoundContext
from trainer.methods.federated import FederatedModule, ParameterGroup

CONTEXT = RoundContext(1, 4)


class Small(FederatedModule):
    """Two vectors of three, the second with a group of its own."""

    def __init__(self, group: ParameterGroup) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.ones(3))
        self.second = nn.Parameter(torch.ones(3))
        self.group = group

    def parameter_groups(self) -> list[ParameterGroup]:
        """The given one."""
        return [self.group]

    def pull(self, optimiser: torch.optim.Optimizer, by: float = 1.0) -> None:
        """A step with the same gradient for both."""
        optimiser.zero_grad()
        (by * (self.first + self.second).sum()).backward()
        optimiser.step()


def test_factor_and_weight_decay_of_a_group_take_effect() -> None:
    """SGD by hand: 1 - 0.5 (1 + 0) and 1 - 0.5 · 0.1 (1 + 0.2 · 1)."""
    method = Small(ParameterGroup(("second",), factor=0.1, weight_decay=0.2))
    settings = OptimiserConfig(name="sgd", learning_rate=0.5, schedule="constant", weight_decay=0, momentum=0)
    method.pull(make_optimiser(method, settings, CONTEXT))
    assert method.first.tolist() == pytest.approx([0.5] * 3)
    assert method.second.tolist() == pytest.approx([0.94] * 3)


def test_a_groups_learning_rate_follows_the_schedule() -> None:
    """Both groups of RAM, with warm-up and floor, as the published program has them."""
    expected = json.loads(shared("fixtures/lr_schedules.json").read_text())["rounds"]
    settings = OptimiserConfig(
        schedule="cosine-released", learning_rate=1e-3, warmup_rounds=3, warmup_from=5e-5, minimum=1e-5
    )
    groups = {
        "ram_embeddings": ParameterGroup(("prompts",)),
        "ram_adapters": ParameterGroup(("adapters",), learning_rate=5e-6),
    }
    for rounds in (10, 50):
        for name, group in groups.items():
            got = [group_learning_rate(group, settings, RoundContext(r, rounds)) for r in range(rounds)]
            assert got == pytest.approx(expected[str(rounds)][name], rel=1e-9), name


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_new_optimiser_continues_from_a_saved_state(name: str) -> None:
    group = ParameterGroup(("second",), factor=0.3)
    settings = OptimiserConfig.model_validate({"name": name, "learning_rate": 0.1})
    whole, parted = Small(group), Small(group)
    continuous = make_optimiser(whole, settings, CONTEXT)
    kept: dict[str, torch.Tensor] = {}
    for by in (1.0, -2.0, 0.5):
        whole.pull(continuous, by)
        optimiser = make_optimiser(parted, settings, CONTEXT)
        restore_optimiser(optimiser, parted, kept)
        parted.pull(optimiser, by)
        kept = optimiser_state(optimiser, parted)
    assert torch.equal(whole.first, parted.first)
    assert torch.equal(whole.second, parted.second)
    per_parameter = {"sgd": {"momentum_buffer"}, "adamw": {"step", "exp_avg", "exp_avg_sq"}}[name]
    assert set(kept) == {f"{parameter}/{key}" for parameter in ("first", "second") for key in per_parameter}


def test_a_state_of_other_parameters_is_refused() -> None:
    method = Small(ParameterGroup(("second",)))
    optimiser = make_optimiser(method, OptimiserConfig(name="sgd"), CONTEXT)
    with pytest.raises(ValueError, match="third is not trained"):
        restore_optimiser(optimiser, method, {"third/momentum_buffer": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"momentum_buffer of first: \(4,\), not \(3,\)"):
        restore_optimiser(optimiser, method, {"first/momentum_buffer": torch.zeros(4)})


def test_the_size_of_a_clients_state() -> None:
    """Of six float32: one copy for momentum, two for Adam's moments, and the personal three."""
    method = Small(ParameterGroup(("second",)))
    keeps = FederationConfig(memory="optimiser")
    assert client_state_bytes(method, FederationConfig(), OptimiserConfig()) == 0
    assert client_state_bytes(method, keeps, OptimiserConfig(name="sgd")) == 24
    assert client_state_bytes(method, keeps, OptimiserConfig(name="sgd", momentum=0)) == 0
    assert client_state_bytes(method, keeps, OptimiserConfig(name="adamw")) == 48

    class Personal(Small):
        personal = ("second",)

    assert client_state_bytes(Personal(method.group), keeps, OptimiserConfig(name="sgd")) == 36
    assert client_state_bytes(Personal(method.group), FederationConfig(), OptimiserConfig()) == 12
