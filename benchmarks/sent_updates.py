"""What it costs to send less of an update: in half the bits, or with differential privacy; on the drawn world.

    python benchmarks/sent_updates.py --bank BANK [--seeds 0 1 2]

Finished runs are kept in --out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scenes_runs import NUMBERS, Job, Ledger, Settings, cell

from trainer.config.sections import PrivacyConfig
from trainer.federation.privacy import spent

DELTA = 0.01

WIRES: dict[str, Settings] = {
    f"federation.wire={wire}": {"federation.wire": wire} for wire in ("float32", "float16", "bfloat16")
}


def private(clip: float, noise_multiplier: float) -> tuple[str, Settings]:
    """A row with privacy, named by what it promises."""
    privacy = {"clip": clip, "noise_multiplier": noise_multiplier, "delta": DELTA}
    epsilon = spent(PrivacyConfig.model_validate(privacy), int(NUMBERS["federation.rounds"])).epsilon
    name = f"clip {clip:g}, noise_multiplier {noise_multiplier:g}: ε {epsilon:.1f}"
    return name, {f"federation.privacy.{key}": value for key, value in privacy.items()}


def main() -> None:
    """Run the jobs that are missing and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("sent_updates.jsonl"))
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    ledger = Ledger(options.out, options.bank, options.cache, options.workers)
    rows = {**WIRES, **dict(private(clip, noise) for noise, clip in ((0.6, 0.01), (0.6, 0.1), (0.6, 1), (3, 0.01)))}
    jobs = {name: [Job(settings, seed, "test") for seed in options.seeds] for name, settings in rows.items()}
    ledger.results(job for each in jobs.values() for job in each)
    print(f"{'':<45} {'mAP':>12} {'CF1':>12} {'OF1':>12}")
    for name, each in jobs.items():
        found = ledger.results(each)
        print(f"{name:<45}", *(f"{cell([one[key] for one in found]):>12}" for key in ("mAP", "CF1", "OF1")))


if __name__ == "__main__":
    main()
