"""Entropic optimal transport between patches and labels, batched (Cuturi, NeurIPS 2013; METHOD.md §3).

Shape letters: … any batch, M rows (patches), C columns (labels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Form = Literal["auto", "kernel", "log"]

KERNEL_RANGE = 30.0
"""Largest (cost range / λ) that the kernel form takes. A gradient through the iterations divides by squares of kernel
sums, and exp(-30)² is the last that leaves fp32 room for the scalings."""


@dataclass(frozen=True)
class Transport:
    """What a solver returns.

    Attributes:
        plan: (…, M, C), non-negative.
        iterations: Sinkhorn iterations that were run.
        marginal_error: (…), L1 distance of the plan's row sums to `rows` (of the balanced problem; a relaxed marginal
            is allowed to differ). Column sums are exact unless the columns are relaxed.
        converged: (…) bool, marginal_error below the tolerance.
    """

    plan: Tensor
    iterations: int
    marginal_error: Tensor
    converged: Tensor


def sinkhorn(
    cost: Tensor,
    rows: Tensor,
    columns: Tensor,
    entropy: float,
    *,
    iterations: int = 50,
    row_relaxation: float | None = None,
    column_relaxation: float | None = None,
    tolerance: float = 1e-3,
    cost_range: float = 1.0,
    form: Form = "auto",
) -> Transport:
    """The plan argmin ⟨P, cost⟩ - λ H(P) with the given marginals, by a fixed number of iterations, in fp32.

    A relaxed marginal is held by ρ·KL only: its update is raised to ρ / (ρ + λ) (Chizat et al., 2018). With rows
    relaxed by ρ = 0 every column is on its own: softmax over the rows of -cost / λ, times the column's mass.
    Differentiable through the iterations. No value is read back from the device inside the loop.

    Args:
        cost: (…, M, C), finite.
        rows: (…, M), non-negative, sums to the same as `columns`.
        columns: (…, C), non-negative.
        entropy: λ > 0, in units of the cost.
        iterations: how many; each updates rows, then columns.
        row_relaxation: ρ ≥ 0 of the rows, None holds them exactly.
        column_relaxation: ρ ≥ 0 of the columns, None holds them exactly.
        tolerance: L1 marginal error below which the plan counts as converged.
        cost_range: an upper bound of max(cost) - min(cost), known beforehand; it picks the form.
        form: "kernel" multiplies with exp(-cost/λ); "log" never leaves the logarithm and bears a small λ;
            "auto" takes the kernel where cost_range / λ allows it.

    Raises:
        ValueError: entropy or iterations not positive, negative relaxation, or shapes that don't fit.
    """
    _check(cost, rows, columns, entropy, iterations, (row_relaxation, column_relaxation))
    row_power = _power(row_relaxation, entropy)
    column_power = _power(column_relaxation, entropy)
    cost, rows, columns = cost.float(), rows.float(), columns.float()
    use_log = form == "log" or (form == "auto" and cost_range / entropy > KERNEL_RANGE)
    solve = _solve_log if use_log else _solve_kernel
    plan = solve(cost / entropy, rows, columns, iterations, row_power, column_power)
    error = (plan.sum(-1) - rows).abs().sum(-1).detach()
    return Transport(plan, iterations, error, error < tolerance)


def _solve_kernel(
    scaled: Tensor, rows: Tensor, columns: Tensor, iterations: int, row_power: float, column_power: float
) -> Tensor:
    """Scaling form. Where a marginal is exact the cost's level is free, so the smallest cost is taken off."""
    exact = row_power == 1.0 or column_power == 1.0
    kernel = torch.exp(scaled.amin(dim=(-2, -1), keepdim=True).detach() - scaled) if exact else torch.exp(-scaled)
    tiny = torch.finfo(kernel.dtype).tiny
    v = torch.ones_like(columns).expand(*kernel.shape[:-2], -1)
    for _ in range(iterations):
        u = _raise(rows / (kernel @ v[..., None])[..., 0].clamp_min(tiny), row_power)
        v = _raise(columns / (u[..., None, :] @ kernel)[..., 0, :].clamp_min(tiny), column_power)
    return u[..., :, None] * kernel * v[..., None, :]


def _solve_log(
    scaled: Tensor, rows: Tensor, columns: Tensor, iterations: int, row_power: float, column_power: float
) -> Tensor:
    """The same iterations on the logarithms of the scalings."""
    log_rows, log_columns = rows.log(), columns.log()
    g = torch.zeros_like(columns).expand(*scaled.shape[:-2], -1)
    for _ in range(iterations):
        f = row_power * (log_rows - torch.logsumexp(g[..., None, :] - scaled, dim=-1))
        g = column_power * (log_columns - torch.logsumexp(f[..., :, None] - scaled, dim=-2))
    return torch.exp(f[..., :, None] + g[..., None, :] - scaled)


def _power(relaxation: float | None, entropy: float) -> float:
    return 1.0 if relaxation is None else relaxation / (relaxation + entropy)


def _raise(scaling: Tensor, power: float) -> Tensor:
    return scaling if power == 1.0 else scaling**power


def _check(
    cost: Tensor,
    rows: Tensor,
    columns: Tensor,
    entropy: float,
    iterations: int,
    relaxations: tuple[float | None, float | None],
) -> None:
    if not entropy > 0:
        raise ValueError(f"entropy must be positive, not {entropy}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    if any(r is not None and r < 0 for r in relaxations):
        raise ValueError(f"a relaxation must not be negative: {relaxations}")
    if rows.shape[-1] != cost.shape[-2] or columns.shape[-1] != cost.shape[-1]:
        raise ValueError(f"cost {tuple(cost.shape)} with rows {tuple(rows.shape)} and columns {tuple(columns.shape)}")
