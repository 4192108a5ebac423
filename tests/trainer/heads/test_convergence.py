"""When the transport stops and what it reports: each problem of a batch, POT's solver, and the published rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.shared import shared
from tests.trainer.heads.problems import problem
from trainer.heads.transport import pot_sinkhorn, sinkhorn


def test_each_problem_stops_at_its_own_error() -> None:
    """An easy and a hard problem in a batch take the iterations that each takes alone, and are as good as asked."""
    cost, a, b = problem(5)
    cost[1] *= 8
    for form in ("kernel", "log"):
        together = sinkhorn(cost, a, b, 0.2, iterations=500, stop="marginal", tolerance=1e-4, form=form)  # type: ignore[arg-type]
        assert bool(together.converged.all())
        assert 1 < int(together.iterations[0]) < int(together.iterations[1]) < 500
        for index in range(2):
            alone = sinkhorn(cost[index], a[index], b[index], 0.2, iterations=500, stop="marginal", tolerance=1e-4)
            fixed = sinkhorn(cost[index], a[index], b[index], 0.2, iterations=int(alone.iterations))
            torch.testing.assert_close(together.plan[index], alone.plan, atol=1e-6, rtol=1e-4)
            torch.testing.assert_close(alone.plan, fixed.plan, atol=1e-7, rtol=1e-5)


def test_relaxed_rows_stop_too() -> None:
    cost, a, b = problem(6)
    rough = sinkhorn(cost, a, b, 0.1, iterations=3, row_relaxation=0.3)
    stopped = sinkhorn(cost, a, b, 0.1, iterations=1000, stop="marginal", row_relaxation=0.3)
    exact = sinkhorn(cost, a, b, 0.1, iterations=1000, row_relaxation=0.3)
    assert bool(stopped.converged.all())
    assert int(stopped.iterations.max()) < 100
    assert float(exact.marginal_error.max()) < 1e-5 < float(rough.marginal_error.min())
    torch.testing.assert_close(stopped.plan, exact.plan, atol=2e-3, rtol=0)


def test_gradients_of_a_stopped_problem_are_those_of_its_iterations() -> None:
    cost, a, b = problem(7)
    weight = torch.rand(cost.shape, generator=torch.Generator().manual_seed(1))
    stopped = sinkhorn(cost.requires_grad_(), a, b, 0.2, iterations=300, stop="marginal")
    (stopped.plan * weight).sum().backward()
    got = cost.grad
    for index in range(2):
        alone = cost[index].detach().requires_grad_()
        plan = sinkhorn(alone, a[index], b[index], 0.2, iterations=int(stopped.iterations[index])).plan
        (plan * weight[index]).sum().backward()
        assert got is not None
        torch.testing.assert_close(got[index], alone.grad, atol=1e-6, rtol=1e-4)


def test_masses_that_differ_never_converge() -> None:
    cost, a, b = problem(0)
    assert not bool(sinkhorn(cost, 2 * a, b, 0.5, iterations=200).converged.any())


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
@pytest.mark.parametrize("form", ["kernel", "log"])
def test_a_bad_cost_is_not_converged_and_spoils_no_neighbour(bad: float, form: Any) -> None:
    cost, a, b = problem(0)
    expected = sinkhorn(cost, a, b, 0.2, form=form).plan[1]
    cost[0, 2, 1] = bad
    found = sinkhorn(cost, a, b, 0.2, form=form)
    assert found.converged.tolist() == [False, True]
    torch.testing.assert_close(found.plan[1], expected)


def test_pots_solver_is_pots() -> None:
    cost, a, b = problem(4, batch=3)
    own, pot = sinkhorn(cost, a, b, 0.2, iterations=300), pot_sinkhorn(cost, a, b, 0.2, iterations=300)
    torch.testing.assert_close(pot.plan, own.plan, atol=1e-6, rtol=1e-4)
    assert bool(pot.converged.all())
    early = pot_sinkhorn(cost, a, b, 0.2, iterations=300, tolerance=1e-3)
    assert int(early.iterations[0]) < int(pot.iterations[0]) == 300
    alone = pot_sinkhorn(cost[0], a[0], b[0], 0.2, iterations=300)
    torch.testing.assert_close(alone.plan, pot.plan[0], atol=1e-6, rtol=1e-5)


def test_parity_with_the_published_solver() -> None:
    """With its rule to stop, the plan is its plan, whichever form computes it."""
    tensors = load_file(shared("fixtures/sinkhorn.safetensors"))
    for seed in range(5):
        for entropy in ("0.1", "0.15", "1.0"):
            cost, a, b = (tensors[f"s{seed}.{name}"] for name in ("cost", "a", "b"))
            for form in ("kernel", "log"):
                found = sinkhorn(cost, a, b, float(entropy), iterations=100, stop="published", form=form)  # type: ignore[arg-type]
                torch.testing.assert_close(found.plan, tensors[f"s{seed}.eot_reg{entropy}"], atol=1e-5, rtol=1e-4)
                assert len(set(found.iterations.tolist())) == 1
