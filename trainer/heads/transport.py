"""Entropic optimal transport between patches and labels, batched (Cuturi, NeurIPS 2013; METHOD.md §3).

Shape letters: … any batch, M rows (patches), C columns (labels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Form = Literal["auto", "kernel", "log"]
Stop = Literal["never", "marginal", "published"]

KERNEL_RANGE = 30.0
"""Upper bound of (cost range / λ) for the kernel form. The gradient divides by squares of kernel sums, and exp(-30)² is
about the smallest square that leaves room for the scalings in fp32."""


@dataclass(frozen=True)
class Transport:
    """A solver's result.

    Attributes:
        plan: (…, M, C), non-negative.
        iterations: (…), the number of Sinkhorn iterations of each problem.
        marginal_error: (…), L1 distance between the plan's row sums and those after one more row update; with exact
            row marginals the latter are `rows`. Column sums are exact unless the columns are relaxed.
        converged: (…) bool, whether marginal_error is below the tolerance; False if the plan is not finite.
    """

    plan: Tensor
    iterations: Tensor
    marginal_error: Tensor
    converged: Tensor


def sinkhorn(
    cost: Tensor,
    rows: Tensor,
    columns: Tensor,
    entropy: float,
    *,
    iterations: int = 50,
    stop: Stop = "never",
    tolerance: float = 1e-3,
    row_relaxation: float | None = None,
    column_relaxation: float | None = None,
    cost_range: float = 1.0,
    form: Form = "auto",
) -> Transport:
    """The plan argmin ⟨P, cost⟩ - λ H(P) with the given marginals, in fp32.

    A relaxed marginal is a penalty ρ·KL instead of a constraint: its scaling update is raised to the power ρ / (ρ + λ)
    (Chizat et al., 2018). If the rows are relaxed with ρ = 0, columns are independent: softmax over the rows of
    -cost / λ, times the column's mass. Differentiable through the iterations. Problems that have stopped are masked on
    the device, so that the loop never synchronises with an accelerator; on the CPU, where reading a value is cheap, the
    loop ends when all problems have stopped, unless it is compiled.

    Args:
        cost: (…, M, C); infinite for forbidden pairs.
        rows: (…, M), non-negative, with the same sum as `columns`.
        columns: (…, C), non-negative.
        entropy: λ > 0, in units of the cost.
        iterations: maximum number; each updates rows, then columns.
        stop: "never": run all iterations; "marginal": each problem of the batch stops independently at its own
            marginal error; "published": the whole batch stops once the mean change of the row scalings is below the
            tolerance in every problem, as in the published programs (BASELINES.md §10).
        tolerance: for `stop` and `converged`.
        row_relaxation: ρ ≥ 0 of the rows; None for exact marginals.
        column_relaxation: ρ ≥ 0 of the columns; None for exact marginals.
        cost_range: an a priori upper bound of max(cost) - min(cost) over allowed pairs; selects the form.
        form: "kernel": multiply with exp(-cost/λ); "log": log-domain iterations, stable for small λ; "auto": the
            kernel form if cost_range / λ permits.

    Raises:
        ValueError: entropy, iterations or tolerance not positive, negative relaxation, or mismatching shapes.
    """
    _check(cost, rows, columns, entropy, iterations, tolerance, (row_relaxation, column_relaxation))
    powers = _exponent(row_relaxation, entropy), _exponent(column_relaxation, entropy)
    use_log = form == "log" or (form == "auto" and cost_range / entropy > KERNEL_RANGE)
    with torch.autocast(cost.device.type, enabled=False):
        # The published rule depends on the absolute scalings, which a shift of the cost would change.
        shift = 1.0 in powers and stop != "published"
        form_of = _log_form if use_log else _kernel_form
        iteration = form_of(cost.float() * (-1 / entropy), rows.float(), columns.float(), powers, shift)
        u, v, count = _iterate(iteration, iterations, stop, tolerance)
        plan = iteration.plan(u, v)
        with torch.no_grad():
            exact = (plan.sum(-1) - rows).abs().sum(-1)
            updated, sums = iteration.update_rows(v)
            error = exact if row_relaxation is None else iteration.row_change(updated, u, sums)
    return Transport(plan, count, error, error < tolerance)


def pot_sinkhorn(
    cost: Tensor, rows: Tensor, columns: Tensor, entropy: float, *, iterations: int = 50, tolerance: float | None = None
) -> Transport:
    """The balanced plan by POT's batch solver in the log domain, in fp32 (Flamary et al., JMLR 2021).

    Args:
        cost: (…, M, C), finite.
        rows: (…, M).
        columns: (…, C).
        entropy: λ > 0.
        iterations: maximum number.
        tolerance: the whole batch stops once the marginal error is below it (POT checks every ten iterations); None
            runs all iterations.

    Raises:
        ValueError: see `sinkhorn`.
    """
    from ot.batch import solve_batch

    _check(cost, rows, columns, entropy, iterations, 1.0 if tolerance is None else tolerance, ())
    batch = cost.shape[:-2]
    with torch.autocast(cost.device.type, enabled=False):
        solved = solve_batch(
            cost.float().flatten(0, -3) if batch else cost.float()[None],
            entropy,
            rows.float().expand(*batch, -1).reshape(-1, cost.shape[-2]),
            columns.float().expand(*batch, -1).reshape(-1, cost.shape[-1]),
            max_iter=iterations,
            tol=tolerance or 0.0,
            method="log_sinkhorn",
            grad="autodiff" if torch.is_grad_enabled() and cost.requires_grad else "detach",
        )
    plan = solved.plan.reshape(cost.shape)
    with torch.no_grad():
        error = (plan.sum(-1) - rows).abs().sum(-1) + (plan.sum(-2) - columns).abs().sum(-1)
    count = torch.full(error.shape, solved.log["n_iter"] + 1, device=error.device)
    return Transport(plan, count, error, error < (tolerance or 1e-3))


@dataclass(frozen=True)
class _Iteration:
    """The operations of the kernel or the log form on its row scalings (…, M) and column scalings (…, C).

    In the log form, scalings are represented by their logarithms.

    Attributes:
        initial_columns: initial column scalings.
        initial_rows: row scalings before the first update.
        update_rows: the next row scalings from the column scalings, and the row sums of the scaled kernel.
        update_columns: the next column scalings from the row scalings.
        row_change: (…) L1 change of the row marginal between two row scalings, given the row sums.
        scalings: row scalings as plain numbers.
        plan: the plan of row and column scalings.
    """

    initial_columns: Tensor
    initial_rows: Tensor
    update_rows: Callable[[Tensor], tuple[Tensor, Tensor]]
    update_columns: Callable[[Tensor], Tensor]
    row_change: Callable[[Tensor, Tensor, Tensor], Tensor]
    scalings: Callable[[Tensor], Tensor]
    plan: Callable[[Tensor, Tensor], Tensor]


def _iterate(iteration: _Iteration, iterations: int, stop: Stop, tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
    """Row scalings, column scalings, and the number of iterations of each problem."""
    u, v = iteration.initial_rows, iteration.initial_columns
    active = torch.ones(u.shape[:-1], dtype=torch.bool, device=u.device)
    count = torch.zeros(active.shape, dtype=torch.long, device=u.device)
    for _ in range(iterations):
        updated, sums = iteration.update_rows(v)
        if stop == "marginal":
            active = active & (iteration.row_change(updated, u, sums) >= tolerance).detach()
            updated = torch.where(active[..., None], updated, u)
        elif stop == "published":
            updated = torch.where(active[..., None], updated, u)
        count += active
        if stop == "published":
            # The first change is relative to scalings of 1.
            before = torch.ones_like(u) if u is iteration.initial_rows else iteration.scalings(u)
            change = (iteration.scalings(updated) - before).abs().mean(-1).detach()
            active = active & (change >= tolerance).any()
        # A stopped problem keeps its row scalings, so its column scalings stay the same too.
        u, v = updated, iteration.update_columns(updated)
        if stop != "never" and u.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(active.any()):
            break
    return u, v, count


def _kernel_form(gain: Tensor, rows: Tensor, columns: Tensor, powers: tuple[float, float], shift: bool) -> _Iteration:
    """Products with the kernel exp(gain), gain = -cost/λ; if `shift`, the largest gain is subtracted first."""
    kernel = (gain - gain.amax(dim=(-2, -1), keepdim=True).detach() if shift else gain).exp()
    tiny = torch.finfo(kernel.dtype).tiny

    def update_rows(v: Tensor) -> tuple[Tensor, Tensor]:
        # A row vector times the transposed view is several times faster on the CPU than the matrix times a column.
        sums = (v[..., None, :] @ kernel.mT)[..., 0, :].clamp_min(tiny)
        return _power(rows / sums, powers[0]), sums

    def update_columns(u: Tensor) -> Tensor:
        return _power(columns / (u[..., None, :] @ kernel)[..., 0, :].clamp_min(tiny), powers[1])

    def plan(u: Tensor, v: Tensor) -> Tensor:
        half = kernel * v[..., None, :]
        # In place unless the backward pass needs the factor.
        return half * u[..., None] if half.requires_grad else half.mul_(u[..., None])

    return _Iteration(
        initial_columns=torch.ones_like(kernel[..., 0, :]),
        initial_rows=torch.zeros_like(kernel[..., 0]),
        update_rows=update_rows,
        update_columns=update_columns,
        row_change=lambda after, before, sums: ((after - before).abs() * sums).sum(-1),
        scalings=lambda u: u,
        plan=plan,
    )


def _log_form(gain: Tensor, rows: Tensor, columns: Tensor, powers: tuple[float, float], shift: bool) -> _Iteration:
    """The same in the log domain, where a shift of the cost has no effect."""
    log_rows, log_columns = rows.log(), columns.log()

    def update_rows(g: Tensor) -> tuple[Tensor, Tensor]:
        sums = torch.logsumexp(g[..., None, :] + gain, dim=-1)
        return _scaled_log(powers[0], log_rows - sums), sums

    def update_columns(f: Tensor) -> Tensor:
        return _scaled_log(powers[1], log_columns - torch.logsumexp(f[..., :, None] + gain, dim=-2))

    return _Iteration(
        initial_columns=torch.zeros_like(gain[..., 0, :]),
        initial_rows=torch.full_like(gain[..., 0], -torch.inf),
        update_rows=update_rows,
        update_columns=update_columns,
        row_change=lambda after, before, sums: ((after + sums).exp() - (before + sums).exp()).abs().sum(-1),
        scalings=torch.exp,
        plan=lambda f, g: torch.exp(f[..., :, None] + g[..., None, :] + gain),
    )


def _exponent(relaxation: float | None, entropy: float) -> float:
    return 1.0 if relaxation is None else relaxation / (relaxation + entropy)


def _power(scaling: Tensor, power: float) -> Tensor:
    if power == 1.0:
        return scaling
    if power == 0.0:
        return torch.ones_like(scaling)
    # The derivative at 0 is infinite, so entries without mass are excluded from the gradient.
    empty = scaling <= 0
    return scaling.masked_fill(empty, 1.0).pow(power).masked_fill(empty, 0.0)


def _scaled_log(power: float, logarithm: Tensor) -> Tensor:
    # Power 0 is 1 for every mass, but 0 · log(0) would be NaN.
    return power * logarithm if power else torch.zeros_like(logarithm)


def _check(
    cost: Tensor,
    rows: Tensor,
    columns: Tensor,
    entropy: float,
    iterations: int,
    tolerance: float,
    relaxations: tuple[float | None, ...],
) -> None:
    if not entropy > 0:
        raise ValueError(f"entropy must be positive, not {entropy}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive, not {tolerance}")
    if any(r is not None and r < 0 for r in relaxations):
        raise ValueError(f"a relaxation must not be negative: {relaxations}")
    if rows.shape[-1] != cost.shape[-2] or columns.shape[-1] != cost.shape[-1]:
        raise ValueError(f"cost {tuple(cost.shape)} with rows {tuple(rows.shape)} and columns {tuple(columns.shape)}")
