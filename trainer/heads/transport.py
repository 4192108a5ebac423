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
"""Largest (cost range / λ) that the kernel form takes. A gradient through the iterations divides by squares of kernel
sums, and exp(-30)² is the last that leaves fp32 room for the scalings."""


@dataclass(frozen=True)
class Transport:
    """What a solver returns.

    Attributes:
        plan: (…, M, C), non-negative.
        iterations: (…) how many Sinkhorn iterations each problem took.
        marginal_error: (…), L1 distance of the plan's row sums to what a further update of the rows would make of
            them: to `rows`, where these are exact. Column sums are exact unless the columns are relaxed.
        converged: (…) bool, marginal_error below the tolerance; False where the plan is not finite.
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

    A relaxed marginal is held by ρ·KL only: its update is raised to ρ / (ρ + λ) (Chizat et al., 2018). With rows
    relaxed by ρ = 0 every column is on its own: softmax over the rows of -cost / λ, times the column's mass.
    Differentiable through the iterations. What stops is masked on the device, so that no value is read back from an
    accelerator inside the loop; on the CPU, where reading costs nothing, the loop ends with its last problem.

    Args:
        cost: (…, M, C); infinite where a pair is forbidden.
        rows: (…, M), non-negative, sums to the same as `columns`.
        columns: (…, C), non-negative.
        entropy: λ > 0, in units of the cost.
        iterations: how many at the most; each updates rows, then columns.
        stop: "never" runs all iterations; "marginal" lets each problem stop at its own marginal error, whatever its
            neighbours do; "published" stops the whole batch once the mean change of the row scalings is below the
            tolerance in every problem, as the published programs do (BASELINES.md §10).
        tolerance: of `stop`, and of `converged`.
        row_relaxation: ρ ≥ 0 of the rows, None holds them exactly.
        column_relaxation: ρ ≥ 0 of the columns, None holds them exactly.
        cost_range: an upper bound of max(cost) - min(cost) over allowed pairs, known beforehand; it picks the form.
        form: "kernel" multiplies with exp(-cost/λ); "log" never leaves the logarithm and bears a small λ;
            "auto" takes the kernel where cost_range / λ allows it.

    Raises:
        ValueError: entropy, iterations or tolerance not positive, negative relaxation, or shapes that don't fit.
    """
    _check(cost, rows, columns, entropy, iterations, tolerance, (row_relaxation, column_relaxation))
    powers = _power(row_relaxation, entropy), _power(column_relaxation, entropy)
    use_log = form == "log" or (form == "auto" and cost_range / entropy > KERNEL_RANGE)
    with torch.autocast(cost.device.type, enabled=False):
        # The published rule looks at the scalings themselves, whose level must then be left alone.
        shift = 1.0 in powers and stop != "published"
        make = _log_form if use_log else _kernel_form
        steps = make(cost.float() * (-1 / entropy), rows.float(), columns.float(), powers, shift)
        u, v, count = _iterate(steps, iterations, stop, tolerance)
        plan = steps.plan(u, v)
        with torch.no_grad():
            exact = (plan.sum(-1) - rows).abs().sum(-1)
            target, sums = steps.rows_of(v)
            error = exact if row_relaxation is None else steps.moved(target, u, sums)
    return Transport(plan, count, error, error < tolerance)


def pot_sinkhorn(
    cost: Tensor, rows: Tensor, columns: Tensor, entropy: float, *, iterations: int = 50, tolerance: float | None = None
) -> Transport:
    """The balanced plan by POT's own batch solver, in its log form and in fp32 (Flamary et al., JMLR 2021).

    Args:
        cost: (…, M, C), finite.
        rows: (…, M).
        columns: (…, C).
        entropy: λ > 0.
        iterations: at the most.
        tolerance: the whole batch stops once the marginal error is below it (POT looks every ten iterations); None
            runs all iterations.

    Raises:
        ValueError: as `sinkhorn`.
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
class _Steps:
    """The half-steps of a form on its scalings: (…, M) of the rows, (…, C) of the columns, or their logarithms.

    Attributes:
        start: of the columns.
        nothing: of the rows before the first update.
        rows_of: the rows' next scalings from the columns', and the kernel's row sums.
        columns_of: the columns' next scalings from the rows'.
        moved: (…) L1 change of the row marginal between two row scalings, given the kernel's row sums.
        scaling: a row scaling out of the form.
        plan: from both.
    """

    start: Tensor
    nothing: Tensor
    rows_of: Callable[[Tensor], tuple[Tensor, Tensor]]
    columns_of: Callable[[Tensor], Tensor]
    moved: Callable[[Tensor, Tensor, Tensor], Tensor]
    scaling: Callable[[Tensor], Tensor]
    plan: Callable[[Tensor, Tensor], Tensor]


def _iterate(steps: _Steps, iterations: int, stop: Stop, tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
    """Row scalings, column scalings, and iterations by problem."""
    u, v = steps.nothing, steps.start
    active = torch.ones(u.shape[:-1], dtype=torch.bool, device=u.device)
    count = torch.zeros(active.shape, dtype=torch.long, device=u.device)
    for _ in range(iterations):
        target, sums = steps.rows_of(v)
        if stop == "marginal":
            active = active & (steps.moved(target, u, sums) >= tolerance).detach()
            target = torch.where(active[..., None], target, u)
        elif stop == "published":
            target = torch.where(active[..., None], target, u)
        count += active
        if stop == "published":
            # The first change is against scalings of 1.
            before = torch.ones_like(u) if u is steps.nothing else steps.scaling(u)
            change = (steps.scaling(target) - before).abs().mean(-1).detach()
            active = active & (change >= tolerance).any()
        # A problem that stopped keeps its rows, and so gets the same columns again.
        u, v = target, steps.columns_of(target)
        if stop != "never" and u.device.type == "cpu" and not bool(active.any()):
            break
    return u, v, count


def _kernel_form(gain: Tensor, rows: Tensor, columns: Tensor, powers: tuple[float, float], shift: bool) -> _Steps:
    """Products with exp(gain), gain = -cost/λ. Where its level is free, the largest gain is taken off."""
    kernel = (gain - gain.amax(dim=(-2, -1), keepdim=True).detach() if shift else gain).exp()
    tiny = torch.finfo(kernel.dtype).tiny

    def rows_of(v: Tensor) -> tuple[Tensor, Tensor]:
        # A row vector times the transposed view is several times faster on the CPU than the matrix times a column.
        sums = (v[..., None, :] @ kernel.mT)[..., 0, :].clamp_min(tiny)
        return _raise(rows / sums, powers[0]), sums

    def columns_of(u: Tensor) -> Tensor:
        return _raise(columns / (u[..., None, :] @ kernel)[..., 0, :].clamp_min(tiny), powers[1])

    def plan(u: Tensor, v: Tensor) -> Tensor:
        half = kernel * v[..., None, :]
        # A gradient needs the factor as it was.
        return half * u[..., None] if half.requires_grad else half.mul_(u[..., None])

    return _Steps(
        start=torch.ones_like(kernel[..., 0, :]),
        nothing=torch.zeros_like(kernel[..., 0]),
        rows_of=rows_of,
        columns_of=columns_of,
        moved=lambda after, before, sums: ((after - before).abs() * sums).sum(-1),
        scaling=lambda u: u,
        plan=plan,
    )


def _log_form(gain: Tensor, rows: Tensor, columns: Tensor, powers: tuple[float, float], shift: bool) -> _Steps:
    """The same on logarithms, where a shift of the cost would change nothing."""
    log_rows, log_columns = rows.log(), columns.log()

    def rows_of(g: Tensor) -> tuple[Tensor, Tensor]:
        sums = torch.logsumexp(g[..., None, :] + gain, dim=-1)
        return _multiply(powers[0], log_rows - sums), sums

    def columns_of(f: Tensor) -> Tensor:
        return _multiply(powers[1], log_columns - torch.logsumexp(f[..., :, None] + gain, dim=-2))

    return _Steps(
        start=torch.zeros_like(gain[..., 0, :]),
        nothing=torch.full_like(gain[..., 0], -torch.inf),
        rows_of=rows_of,
        columns_of=columns_of,
        moved=lambda after, before, sums: ((after + sums).exp() - (before + sums).exp()).abs().sum(-1),
        scaling=torch.exp,
        plan=lambda f, g: torch.exp(f[..., :, None] + g[..., None, :] + gain),
    )


def _power(relaxation: float | None, entropy: float) -> float:
    return 1.0 if relaxation is None else relaxation / (relaxation + entropy)


def _raise(scaling: Tensor, power: float) -> Tensor:
    if power == 1.0:
        return scaling
    if power == 0.0:
        return torch.ones_like(scaling)
    # The slope of a power at 0 is infinite: an empty marginal stays out of the gradient.
    empty = scaling <= 0
    return scaling.masked_fill(empty, 1.0).pow(power).masked_fill(empty, 0.0)


def _multiply(power: float, logarithm: Tensor) -> Tensor:
    # A free marginal forgets its masses, and 0 times the logarithm of an empty one would not.
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
