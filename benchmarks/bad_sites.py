"""What one bad site of six does to a federation, by aggregation rule, on the drawn world.

    python benchmarks/bad_sites.py --bank BANK [--seeds 0 1 2]

The bad site trains as the others do and sends its update times a factor: -1 turns it round, -10 also makes it ten times
as long; 0 is a site that does not take part, which is what the best defence can reach. Which site is bad changes with
the seed. Finished runs are kept in --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from scenes_runs import Job, Ledger, Settings, cell, run

from trainer.federation.checks import UpdateRefused
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import Gather, RoundContext

SITES = 6
RULES: dict[str, Settings] = {
    "mean": {"federation.aggregation": "mean"},
    "median": {"federation.aggregation": "median"},
    # One of six sites at either end; with the default share it would be two, which leaves the median.
    "trimmed-mean": {"federation.aggregation": "trimmed-mean", "federation.trimmed_share": 0.16},
    "multi-krum": {"federation.aggregation": "multi-krum", "federation.trimmed_share": 0.16},
    "norm-bounded-mean": {"federation.aggregation": "norm-bounded-mean"},
}
FACTORS = (1.0, 0.0, -1.0, -10.0)
"""1: all sites are honest; 0: one does not take part."""

FACTOR = "bad site's factor"
"""A job's key for the factor, beside its settings."""


def spoiled(gather: Gather, bad: int, factor: float) -> Gather:
    """Clients of which one sends its update times a factor."""

    def gathered(sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply | UpdateRefused]:
        for reply in gather(sampled, state, context):
            if isinstance(reply, UpdateRefused) or reply.client != bad:
                yield reply
                continue
            if not factor:
                yield UpdateRefused(bad, "does not take part")
                continue
            sent = {
                name: state[name] + factor * (value - state[name]) if value.is_floating_point() else value
                for name, value in reply.state.items()
            }
            yield replace(reply, state=sent)

    return gathered


def measure(job: Job, bank: Path, cache: Path) -> dict[str, float]:
    """As `scenes_runs.run`, with a bad site."""
    settings = dict(job.settings)
    factor = settings.pop(FACTOR)
    honest = replace(job, settings=settings)
    if factor == 1:
        return run(honest, bank, cache)
    return run(honest, bank, cache, lambda gather: spoiled(gather, job.seed % SITES, factor))


def main() -> None:
    """Run the jobs that are missing and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("bad_sites.jsonl"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rules", nargs="+", default=list(RULES))
    parser.add_argument("--factors", type=float, nargs="+", default=list(FACTORS))
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    ledger = Ledger(options.out, options.bank, options.cache, options.workers, measure)
    rows = {
        (rule, factor): [Job({**RULES[rule], FACTOR: factor}, seed, "test") for seed in options.seeds]
        for factor in options.factors
        for rule in options.rules
    }
    ledger.results(job for jobs in rows.values() for job in jobs)
    print(f"mAP       {'  '.join(f'{rule:>18}' for rule in options.rules)}")
    for factor in options.factors:
        cells = [cell([found["mAP"] for found in ledger.results(rows[rule, factor])]) for rule in options.rules]
        print(f"{factor:>6g}    {'  '.join(f'{value:>18}' for value in cells)}")


if __name__ == "__main__":
    main()
