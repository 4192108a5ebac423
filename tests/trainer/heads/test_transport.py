"""The transport against POT, a linear program, and identities that need no reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor

from tests.trainer.heads.problems import problem
from trainer.heads.transport import sinkhorn

SETTINGS = settings(max_examples=12, deadline=None)

pytestmark = pytest.mark.filterwarnings("ignore:Sinkhorn did not converge", "ignore:If reg_type = entropy")


@SETTINGS
@given(seed=st.integers(0, 10_000), entropy=st.sampled_from([0.1, 0.2, 1.0, 10.0]))
def test_balanced_plan_is_pots(seed: int, entropy: float) -> None:
    cost, a, b = problem(seed)
    got = sinkhorn(cost, a, b, entropy, iterations=500)
    for index in range(len(cost)):
        arguments = [part[index].double().numpy() for part in (a, b, cost)]
        expected = ot.sinkhorn(*arguments, entropy, method="sinkhorn_log", numItermax=1000, stopThr=1e-8)
        # Convergence slows as λ falls; the marginal error bounds how far the plan can be off.
        tolerance = 1e-5 + 2 * float(got.marginal_error[index])
        np.testing.assert_allclose(got.plan[index].numpy(), expected, atol=tolerance)


@SETTINGS
@given(seed=st.integers(0, 10_000), side=st.sampled_from(["rows", "columns"]), rho=st.sampled_from([0.03, 0.3, 3.0]))
def test_relaxed_plan_is_pots(seed: int, side: str, rho: float) -> None:
    cost, a, b = problem(seed, batch=1)
    relaxed: dict[str, Any] = {"row_relaxation": rho} if side == "rows" else {"column_relaxation": rho}
    got = sinkhorn(cost, a, b, 0.2, iterations=400, **relaxed).plan[0]
    reg_m = (rho, float("inf")) if side == "rows" else (float("inf"), rho)
    expected = ot.unbalanced.sinkhorn_knopp_unbalanced(
        a[0].double().numpy(),
        b[0].double().numpy(),
        cost[0].double().numpy(),
        0.2,
        reg_m,
        reg_type="entropy",
        numItermax=3000,
        stopThr=1e-11,
    )
    np.testing.assert_allclose(got.numpy(), expected, atol=2e-5)


def test_small_entropy_reaches_the_linear_program() -> None:
    cost, a, b = problem(3, batch=1)
    got = sinkhorn(cost, a, b, 1e-3, iterations=5000)
    optimum = ot.emd2(*(part[0].double().numpy() for part in (a, b, cost)))
    assert float((got.plan * cost).sum()) == pytest.approx(float(optimum), abs=5e-3)


@SETTINGS
@given(seed=st.integers(0, 10_000), entropy=st.sampled_from([0.05, 0.2, 1.0]), relaxation=st.sampled_from([None, 0.1]))
def test_log_form_is_the_kernel_form(seed: int, entropy: float, relaxation: float | None) -> None:
    cost, a, b = problem(seed)
    plans = [sinkhorn(cost, a, b, entropy, row_relaxation=relaxation, form=form).plan for form in ("kernel", "log")]
    torch.testing.assert_close(plans[0], plans[1], atol=1e-6, rtol=1e-4)


@SETTINGS
@given(seed=st.integers(0, 10_000))
def test_batch_is_the_loop(seed: int) -> None:
    cost, a, b = problem(seed, batch=3)
    whole = sinkhorn(cost, a, b, 0.2).plan
    for index in range(3):
        alone = sinkhorn(cost[index], a[index], b[index], 0.2).plan
        torch.testing.assert_close(whole[index], alone, atol=1e-6, rtol=1e-5)


@SETTINGS
@given(seed=st.integers(0, 10_000), entropy=st.sampled_from([0.05, 0.2]))
def test_free_rows_are_softmax_pooling(seed: int, entropy: float) -> None:
    """ρ = 0: each column is softmax over the rows of -cost / λ, times the column's mass."""
    cost, a, b = problem(seed)
    plan = sinkhorn(cost, a, b, entropy, row_relaxation=0.0).plan
    expected = (-cost / entropy).softmax(dim=-2) * b[:, None, :]
    torch.testing.assert_close(plan, expected, atol=1e-6, rtol=1e-4)


def test_a_plan_by_hand() -> None:
    """Two patches, two labels, cost [[0, 1], [1, 0]], equal marginals.

    By symmetry P = [[p, 1/2 - p], [1/2 - p, p]], and P_11 / P_12 = exp(1/λ). With λ = 1 / ln 3: p / (1/2 - p) = 3,
    so p = 3/8.
    """
    cost = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    half = torch.tensor([0.5, 0.5])
    plan = sinkhorn(cost, half, half, 1 / math.log(3)).plan
    torch.testing.assert_close(plan, torch.tensor([[0.375, 0.125], [0.125, 0.375]]))


def test_columns_are_exact_and_the_row_error_is_reported() -> None:
    cost, a, b = problem(1)
    rough = sinkhorn(cost, a, b, 0.01, iterations=1)
    torch.testing.assert_close(rough.plan.sum(-2), b, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(rough.marginal_error, (rough.plan.sum(-1) - a).abs().sum(-1))
    assert not bool(rough.converged.any())
    assert bool(sinkhorn(cost, a, b, 1.0, iterations=100).converged.all())


@pytest.mark.parametrize("entropy", [1e-4, 1e-2, 10.0])
def test_plans_stay_finite(entropy: float) -> None:
    cost, a, b = problem(2)
    a[:, 0] = 0.0
    assert bool(torch.isfinite(sinkhorn(cost, a / a.sum(-1, keepdim=True), b, entropy).plan).all())


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 1)])
def test_one_patch_or_one_label(shape: tuple[int, int]) -> None:
    a, b = torch.full((shape[0],), 1 / shape[0]), torch.full((shape[1],), 1 / shape[1])
    plan = sinkhorn(torch.rand(shape), a, b, 0.2).plan
    torch.testing.assert_close(plan, a[:, None] * b[None, :])


def test_gradient_runs_through_the_iterations() -> None:
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(3, 3, generator=generator, requires_grad=True)
    a = torch.full((3,), 1 / 3)
    weight = torch.rand(3, 3, generator=generator)

    def value(c: Tensor) -> Tensor:
        return (sinkhorn(c, a, a, 0.3, iterations=30).plan * weight).sum()

    value(cost).backward()
    step = 1e-2
    for i in range(3):
        for j in range(3):
            moved = torch.zeros(3, 3)
            moved[i, j] = step
            slope = (value(cost.detach() + moved) - value(cost.detach() - moved)) / (2 * step)
            assert cost.grad is not None
            assert float(cost.grad[i, j]) == pytest.approx(float(slope), abs=2e-3)


@pytest.mark.parametrize("entropy", [0.005, 0.02, 0.03, 0.2])
@pytest.mark.parametrize("relaxation", [None, 0.03])
def test_gradients_stay_finite_on_sharp_costs(entropy: float, relaxation: float | None) -> None:
    """Costs as FedMPT has them: softmax over labels of scaled cosines, 0 for one label, 1 for others."""
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(8, 64, 24, generator=generator, requires_grad=True)
    cost = 1 - (40 * similarity).softmax(-1)
    rows = (similarity.detach().amax(-1) / 0.02).softmax(-1)
    columns = torch.full((8, 24), 1 / 24)
    found = sinkhorn(cost, rows, columns, entropy, iterations=20, row_relaxation=relaxation)
    (found.plan * similarity).sum().backward()
    assert similarity.grad is not None
    assert bool(torch.isfinite(similarity.grad).all())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entropy": 0.0}, "entropy"),
        ({"iterations": 0}, "iterations"),
        ({"row_relaxation": -1.0}, "relaxation"),
        ({"tolerance": 0.0}, "tolerance"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, float], said: str) -> None:
    cost, a, b = problem(0)
    arguments: dict[str, Any] = {"entropy": 0.2, **change}
    with pytest.raises(ValueError, match=said):
        sinkhorn(cost, a, b, **arguments)


def test_shapes_that_do_not_fit_are_named() -> None:
    cost, a, b = problem(0)
    with pytest.raises(ValueError, match="columns"):
        sinkhorn(cost, a, b[:, :2], 0.2)


def test_small_problems_reach_the_linear_programs_optimum() -> None:
    """scipy's linear program gives the least cost; the entropic plan's cost falls towards it with λ."""
    for seed in range(4):
        cost, a, b = problem(seed, batch=1, rows=5, columns=3)
        equalities = np.zeros((8, 15))
        for i in range(5):
            equalities[i, 3 * i : 3 * i + 3] = 1
        for j in range(3):
            equalities[5 + j, j::3] = 1
        marginals = np.concatenate([a[0].double().numpy(), b[0].double().numpy()])
        # One equality follows from the others, but for rounding.
        optimum = linprog(cost[0].double().numpy().ravel(), A_eq=equalities[:-1], b_eq=marginals[:-1]).fun
        costs = [float((sinkhorn(cost, a, b, e, iterations=4000).plan * cost).sum()) for e in (0.1, 0.01, 0.001)]
        assert costs[0] > costs[1] > costs[2] - 1e-6
        assert costs[2] == pytest.approx(optimum, abs=2e-3)


@pytest.mark.parametrize("form", ["kernel", "log"])
def test_a_forbidden_pair_gets_nothing(form: Any) -> None:
    cost, a, b = problem(0)
    cost[0, 2, 1] = float("inf")
    found = sinkhorn(cost, a, b, 0.2, iterations=300, form=form)
    assert float(found.plan[0, 2, 1]) == 0
    assert bool(found.converged.all())


@pytest.mark.parametrize("form", ["kernel", "log"])
@pytest.mark.parametrize("relaxation", [None, 0.0, 0.1])
def test_a_patch_without_mass_gets_nothing_and_gradients_stay_finite(form: Any, relaxation: float | None) -> None:
    cost, a, b = problem(2)
    a[:, 0] = 0.0
    a, cost = a / a.sum(-1, keepdim=True), cost.requires_grad_()
    plan = sinkhorn(cost, a, b, 0.2, row_relaxation=relaxation, form=form).plan
    plan.square().sum().backward()
    assert cost.grad is not None
    assert bool(torch.isfinite(cost.grad).all())
    if relaxation != 0.0:
        assert float(plan[:, 0].detach().abs().max()) == 0


def test_half_precision_is_solved_in_full() -> None:
    """Also under autocast, which would otherwise round every product."""
    cost, a, b = problem(3)
    half = cost.bfloat16()
    expected = sinkhorn(half.float(), a, b, 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = sinkhorn(half, a, b, 0.2)
    assert found.plan.dtype == torch.float32
    torch.testing.assert_close(found.plan, expected.plan, atol=0, rtol=0)
