"""Differential privacy of a client's update."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from scipy.optimize import brentq
from torch import Tensor

from tests.trainer.small_runs import new_run, prepared
from trainer.config.sections import FederationConfig, PrivacyConfig
from trainer.errors import TrainerError
from trainer.evaluation.findings import protection
from trainer.federation.privacy import check_promise, private_state, secret_normal, spent
from trainer.federation.replies import State, norm, update
from trainer.progress import print_round
from trainer.seeding import seeded
from trainer.train import train

PRIVATE: dict[str, Any] = {"clip": 0.5, "noise_multiplier": 5.0, "delta": 0.01}
SERVER: State = {"a": torch.linspace(-1, 1, 6000).view(100, 60), "b": torch.ones(50), "table": torch.eye(3)}


def trained(scale: float, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    moved = {name: SERVER[name] + scale * torch.randn(SERVER[name].shape, generator=generator) for name in ("a", "b")}
    return {**moved, "table": SERVER["table"]}


def silent(count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-4, 1e3), clip=st.floats(0.01, 10.0), seed=st.integers(0, 100))
def test_the_whole_update_is_clipped_in_its_direction(scale: float, clip: float, seed: int) -> None:
    state = trained(scale, seed)
    privacy = PrivacyConfig(clip=clip, noise_multiplier=1.0, delta=0.1)
    own, sent = (
        update(each, SERVER) for each in (state, private_state(state, SERVER, {"table"}, privacy, normal=silent))
    )
    assert norm(sent) == pytest.approx(min(norm(own), clip), rel=1e-3, abs=1e-4)
    along = sum(float((own[name] * sent[name]).sum()) for name in own)
    assert along >= 0.99 * norm(own) * norm(sent) - 1e-3 * norm(own)


def test_noise_is_that_of_the_settings_on_every_number() -> None:
    """From an update that is clipped to next to nothing beside it."""
    privacy = PrivacyConfig(clip=0.02, noise_multiplier=3.0, delta=0.1)
    noise = update(private_state(trained(1.0), SERVER, {"table"}, privacy), SERVER)
    for name in ("a", "b"):
        values = noise[name].flatten().numpy() / 0.06
        assert stats.kstest(values, "norm").pvalue > 1e-6, name
    assert float(noise["table"].abs().sum()) == 0


@pytest.mark.parametrize("count", [0, 1, 7])
def test_noise_is_of_no_seed(count: int) -> None:
    with seeded(0, torch.device("cpu")):
        first = secret_normal(count)
    with seeded(0, torch.device("cpu")):
        second = secret_normal(count)
    assert first.shape == (count,)
    assert not count or not torch.equal(first, second)


def test_what_training_changes_beside_parameters_cannot_be_sent() -> None:
    state = {**trained(0.1), "table": SERVER["table"] + 1}
    with pytest.raises(TrainerError, match="training changes table, which is no parameter"):
        private_state(state, SERVER, {"table"}, PrivacyConfig(**PRIVATE))


def exact_epsilon(multiplier: float, rounds: int, delta: float) -> float:
    """ε of updates that differ by 2 clips under noise of `multiplier` clips (Balle and Wang, ICML 2018, theorem 8)."""
    mu = 2 * math.sqrt(rounds) / multiplier

    def excess(epsilon: float) -> float:
        upper = stats.norm.cdf(mu / 2 - epsilon / mu)
        return float(upper - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)) - delta

    return float(brentq(excess, 0, 200))


@pytest.mark.parametrize("multiplier", [2.0, 5.0, 20.0, 60.0])
@pytest.mark.parametrize("rounds", [1, 12, 100])
def test_the_accountants_epsilon_bounds_the_exact_one_closely(multiplier: float, rounds: int) -> None:
    delta = 0.001
    exact = exact_epsilon(multiplier, rounds, delta)
    told = spent(PrivacyConfig(clip=1.0, noise_multiplier=multiplier, delta=delta), rounds)
    assert exact <= told.epsilon <= 1.25 * exact + 0.1
    assert (told.delta, told.rounds) == (delta, rounds)


@pytest.mark.parametrize(
    ("federation", "clients", "rounds", "parameters", "said"),
    [
        ({"delta": 0.2}, 5, 3, 10, r"delta=0.2 promises nothing to 5 clients"),
        ({"noise_multiplier": 0.01}, 5, 3, 10, r"promises nothing: ε would be [0-9,]+ after the 3 rounds of a client"),
        ({}, 5, 0, 10, "no client sends an update"),
        ({}, 5, 3, 0, "no client sends an update"),
    ],
)
def test_promises_of_nothing_are_refused(
    federation: dict[str, Any], clients: int, rounds: int, parameters: int, said: str
) -> None:
    checked = FederationConfig.model_validate({"privacy": {**PRIVATE, **federation}})
    check_promise(FederationConfig.model_validate({"privacy": PRIVATE}), 5, 3, 10)
    with pytest.raises(TrainerError, match=said):
        check_promise(checked, clients, rounds, parameters)


def test_numbers_of_images_are_not_protected() -> None:
    checked = FederationConfig.model_validate({"privacy": PRIVATE, "weights": "examples"})
    with pytest.raises(TrainerError, match="weights=uniform"):
        check_promise(checked, 5, 3, 10)


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ({"clip": 1.0}, "clip alone promise nothing"),
        ({"clip": 1.0, "delta": 0.01}, "clip and delta alone promise nothing"),
        ({**PRIVATE, "noise_multiplier": 0}, "greater than 0"),
        ({**PRIVATE, "clip": 0}, "greater than 0"),
        ({**PRIVATE, "delta": 1}, "less than 1"),
    ],
)
def test_half_a_promise_is_refused(privacy: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PrivacyConfig.model_validate(privacy)


def test_annotations_that_sites_count_are_not_protected(tmp_path: Path) -> None:
    _, config = new_run(tmp_path / "run", federation__privacy=PRIVATE, data__sites=3)
    sites = config.model_copy(update={"method": config.method.model_copy(update={"context": "sites"})})
    with pytest.raises(TrainerError, match="context"):
        prepared(sites, tmp_path / "cache")


def test_a_private_run_says_what_it_spends_and_never_takes_it_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, config = new_run(tmp_path / "run", federation__privacy=PRIVATE, method__name="coop")
    ready = prepared(config, tmp_path / "cache")
    train(run, ready, after_round=print_round)
    privacy = PrivacyConfig(**PRIVATE)
    told = [line["privacy"] for line in run.metrics()]
    assert [line["rounds"] for line in told] == [1, 2, 3, 4]
    assert [line["epsilon"] for line in told] == [spent(privacy, rounds).epsilon for rounds in (1, 2, 3, 4)]
    assert [line["loss"] for line in run.metrics()] == [None] * 4
    printed = capsys.readouterr().err
    assert f"ε {told[-1]['epsilon']:.2f} at δ 0.01" in printed
    assert "loss" not in printed
    (said,) = protection(run.metrics())
    assert f"ε = {told[-1]['epsilon']:.2f} at δ = 0.01, over the 4 rounds" in said

    before = run.load_checkpoint("4")[1]
    train(run, ready, checkpoint="2")
    assert [line["privacy"]["rounds"] for line in run.metrics()] == [1, 2, 5, 6]
    after = run.load_checkpoint("4")[1]
    assert any(not torch.equal(before[name], after[name]) for name in before), "noise of a seed"

    louder = PrivacyConfig.model_validate({**PRIVATE, "noise_multiplier": 50})
    federation = config.federation.model_copy(update={"privacy": louder})
    other = prepared(config.model_copy(update={"federation": federation}), tmp_path / "cache")
    with pytest.raises(TrainerError, match="the run began with a noise multiplier of 5, the settings say 50"):
        train(run, other, checkpoint="2")


def test_batch_statistics_are_refused(tmp_path: Path) -> None:
    """FedRAM's adapters normalise by batch."""
    run, config = new_run(tmp_path / "run", federation__privacy=PRIVATE, method__name="fedram")
    with pytest.raises(TrainerError, match=r"training changes blocks\.adapters.*batch statistics"):
        train(run, prepared(config, tmp_path / "cache"))
