"""Matching patches to labels: transport under every marginal, pooling, shares and background columns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainer.heads.matching import MatchingConfig, match, transport
from trainer.heads.taught_matching import teacher_cost, teacher_range
from trainer.heads.transport import sinkhorn


def similarity(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 2, 16, 3, generator=torch.Generator().manual_seed(seed)) * 0.3


def test_score_is_the_papers_sum() -> None:
    """ψ = C Σ_m P s where the columns are uniform and exact."""
    s, settings = similarity(), MatchingConfig(matching="transport")
    plan = transport(s, 100.0, settings).plan
    torch.testing.assert_close(match(s, 100.0, settings).scores, 3 * (plan * s).sum(-2), rtol=1e-4, atol=1e-6)


def test_free_rows_are_pooling() -> None:
    """ρ = 0: weights are softmax over patches of -cost / λ."""
    s, settings = (
        similarity(),
        MatchingConfig(matching="transport", marginals="relaxed-rows", relaxation=0.0, entropy=0.1),
    )
    cost = 1 - (50 * s).softmax(-1)
    torch.testing.assert_close(match(s, 50.0, settings).weights, (-cost / 0.1).softmax(-2), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["balanced", "relaxed-rows", "relaxed-columns", "background", "prior"])
def test_every_marginal_gives_weights_over_patches(kind: Any) -> None:
    found = match(similarity(), 100.0, MatchingConfig(matching="transport", marginals=kind))
    torch.testing.assert_close(found.weights.sum(-2), torch.ones(2, 2, 3))
    assert bool((found.scores <= similarity().amax(-2) + 1e-6).all())


@pytest.mark.parametrize("kind", ["balanced", "background", "prior"])
def test_pot_gives_the_same_scores_and_gradients(kind: Any) -> None:
    found = []
    for solver in ("own", "pot"):
        s = similarity().requires_grad_()
        chosen = MatchingConfig(matching="transport", marginals=kind, solver=solver, iterations=200)
        scores = match(s, 100.0, chosen).scores
        scores.square().sum().backward()
        found.append((scores.detach(), s.grad))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-3)


def test_pot_cannot_relax() -> None:
    with pytest.raises(ValueError, match="solver=own"):
        MatchingConfig(solver="pot", marginals="relaxed-rows")
    with pytest.raises(ValueError, match="solver=own"):
        MatchingConfig(solver="pot", stop="published")


def test_prior_of_scale_zero_is_balanced() -> None:
    plans = [
        transport(similarity(), 100.0, MatchingConfig(marginals=kind, prior_scale=0.0)).plan
        for kind in ("balanced", "prior")
    ]
    torch.testing.assert_close(plans[0], plans[1])


def test_a_stopped_plan_has_the_same_value_and_another_gradient() -> None:
    gradients = []
    values = []
    for through in (True, False):
        s = similarity().requires_grad_()
        value = match(s, 100.0, MatchingConfig(matching="transport", differentiate_plan=through)).scores.square().sum()
        value.backward()
        values.append(value.detach())
        gradients.append(s.grad)
    torch.testing.assert_close(values[0], values[1])
    assert not torch.allclose(gradients[0], gradients[1])


@pytest.mark.parametrize("background", [None, 2])
def test_shares_are_the_plan_with_free_columns(background: int | None) -> None:
    """Sinkhorn with ρ = 0 on the columns, cost 1 - s and λ = θ / κ; its rows divided out, times s, pooled."""
    s, settings = similarity(), MatchingConfig(matching="shares", share_temperature=5.0, softmax_scale=30.0)
    rest = None if background is None else similarity(1)[..., :background]
    columns = s if rest is None else torch.cat([s, rest], -1)
    uniform = (torch.full(columns.shape[:-1], 1 / 16), torch.full_like(columns[..., 0, :], 1 / columns.shape[-1]))
    plan = sinkhorn(1 - columns, *uniform, 5.0 / 100, column_relaxation=0.0).plan
    pooled = (plan / plan.sum(-1, keepdim=True))[..., :3] * s
    found = match(columns, 100.0, settings, background or 0)
    torch.testing.assert_close(found.weights, (30 * pooled).softmax(-2), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.scores, (found.weights * pooled).sum(-2), rtol=1e-4, atol=1e-6)


def test_a_background_takes_from_the_labels() -> None:
    s, settings = similarity(), MatchingConfig(matching="shares")
    scores = [match(s, 100.0, settings).scores]
    scores += [match(torch.cat([s, rest], -1), 100.0, settings, 3).scores for rest in (s - 0.3, s)]
    assert bool((scores[0] > scores[1]).all())
    assert bool((scores[1] > scores[2]).all())


def test_a_teacher_adds_cost_where_it_sees_nothing_of_a_label() -> None:
    """Between 0 and the bound, the same for all patches of an absent label, and none where one patch has it all."""
    s = torch.full((2, 16, 3), 0.1)
    s[0, 5, 0] = 0.9
    absent = torch.tensor([[False, True, True], [False, True, False]])
    cost = teacher_cost(s, absent, 100.0)
    assert float(cost.min()) >= 0 and float(cost.max()) <= teacher_range(16)
    assert float(cost[0, 5, 0]) < 1e-3 and float(cost[0, 4, 0]) > 10
    assert cost.transpose(1, 2)[absent].unique().tolist() == [float(cost.max())]


def test_an_added_cost_moves_mass_away() -> None:
    s, settings = similarity(), MatchingConfig(matching="transport", entropy=0.1, iterations=100)
    added = torch.zeros_like(s)
    added[:, :, 3, 1] = 1.0
    plain, taught = transport(s, 100.0, settings).plan, transport(s, 100.0, settings, added, 1.0).plan
    assert bool((taught[:, :, 3, 1] < plain[:, :, 3, 1]).all())
    torch.testing.assert_close(taught.sum(-2), plain.sum(-2))
