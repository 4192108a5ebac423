"""Speed of the batched transport, compared with POT's batch solver and a loop of `ot.sinkhorn`.

    python benchmarks/transport.py [--images 32] [--conditions 5] [--patches 196] [--labels 80] [--threads 2]

Forward only, fp32, on the CPU, with costs and marginals as in FedMPT (METHOD.md §3). All solvers run the same number of
iterations. Printed are the marginal error of each plan, and the best wall-clock time (a loop cannot use a second core)
and processor time of several repetitions.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import ot
import torch
from torch import Tensor

from trainer.heads.transport import pot_sinkhorn, sinkhorn

ENTROPY, SCALE, TEMPERATURE = 0.2, 100.0, 0.1
"""λ and τ of the paper, κ of CLIP."""


def problem(images: int, conditions: int, patches: int, labels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Costs (B, N, M, C), rows (B, N, M) and columns (B, N, C) from random cosines as wide as CLIP's."""
    generator = torch.Generator().manual_seed(0)
    similarity = 0.2 + 0.03 * torch.randn(images, conditions, patches, labels, generator=generator)
    cost = 1 - (SCALE * similarity).softmax(-1)
    rows = (similarity.amax(-1) / TEMPERATURE).softmax(-1)
    return cost, rows, torch.full_like(cost[..., 0, :], 1 / labels)


def loop(cost: Tensor, rows: Tensor, columns: Tensor, iterations: int, numpy: bool) -> Tensor:
    """Solve the problems one by one with `ot.sinkhorn`, as tensors or as numpy arrays."""
    parts = (t.flatten(0, 1).numpy() if numpy else t.flatten(0, 1) for t in (rows, columns, cost))
    plans = [ot.sinkhorn(a, b, c, ENTROPY, numItermax=iterations, stopThr=0.0) for a, b, c in zip(*parts, strict=True)]
    return torch.stack([torch.as_tensor(plan) for plan in plans]).view_as(cost)


def measure(solvers: dict[str, Callable[[], Tensor]], repetitions: int) -> dict[str, tuple[float, float, Tensor]]:
    """For each solver the wall-clock and processor seconds of its fastest repetition, and its plan.

    The solvers alternate, so that other load on the machine affects all of them alike.
    """
    found: dict[str, tuple[float, float, Tensor]] = {}
    for _ in range(repetitions):
        for name, run in solvers.items():
            wall, processor = time.perf_counter(), time.process_time()
            plan = run()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            before = found.get(name, (wall, processor, plan))
            found[name] = (min(wall, before[0]), min(processor, before[1]), plan)
    return found


def main() -> None:
    """Print times, ratios and marginal errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("images", 32), ("conditions", 5), ("patches", 196), ("labels", 80), ("iterations", 50)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", module="ot")  # POT warns that tolerance 0 is not reached
    cost, rows, columns = problem(options.images, options.conditions, options.patches, options.labels)
    count = options.iterations

    def pot(method: str) -> Tensor:
        c, a, b = (t.flatten(0, 1) for t in (cost, rows, columns))
        return ot.batch.solve_batch(
            c, ENTROPY, a, b, max_iter=count, tol=0.0, method=method, grad="detach"
        ).plan.view_as(cost)

    solvers: dict[str, Callable[[], Tensor]] = {
        "ours, kernel form": lambda: sinkhorn(cost, rows, columns, ENTROPY, iterations=count, form="kernel").plan,
        "ours, log form": lambda: sinkhorn(cost, rows, columns, ENTROPY, iterations=count, form="log").plan,
        "POT's batch solver, kernel": lambda: pot("sinkhorn"),
        "POT's batch solver, log": lambda: pot_sinkhorn(cost, rows, columns, ENTROPY, iterations=count).plan,
        "loop of ot.sinkhorn, tensors": lambda: loop(cost, rows, columns, count, numpy=False),
        "loop of ot.sinkhorn, numpy": lambda: loop(cost, rows, columns, count, numpy=True),
    }
    print(f"cost {tuple(cost.shape)}, λ = {ENTROPY}, {count} iterations, {torch.get_num_threads()} threads, forward")
    with torch.no_grad():
        found = measure(solvers, options.repetitions)
    first = next(iter(found.values()))
    print(f"{'':<28} {'wall':>8}            {'processor':>12}")
    for name, (*seconds, plan) in found.items():
        error = ((plan.sum(-1) - rows).abs().sum(-1) + (plan.sum(-2) - columns).abs().sum(-1)).mean()
        times = "   ".join(f"{1000 * s:8.1f} ms ×{s / f:5.1f}" for s, f in zip(seconds, first[:2], strict=True))
        print(f"{name:<28} {times}   marginal error {float(error):.1e}")


if __name__ == "__main__":
    main()
