"""A new user's first run: own labels, three small sites, scenes-tiny, no setting changed, against the yardsticks.

    python benchmarks/own_data.py [--sets factory garden] [--seeds 0 1 2 3 4] [--set KEY=VALUE …]

The pictures and tables of own_pictures.py are written to a temporary folder; the seed draws the data and everything
else. Each line is a run: test mAP in per cent, the yardsticks' mAP, rounds, processor seconds of training. A run takes
one to two minutes on one core. The last lines are mean ± standard deviation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from own_pictures import SETS, write

from prompt_bank.schema import Bank, Condition, Label
from trainer.evaluation.comparison import yardstick_rows
from trainer.evaluation.findings import findings
from trainer.evaluation.measuring import evaluate
from trainer.preparing import prepare
from trainer.resolving import parse_assignment, resolve
from trainer.run.folder import Run
from trainer.train import train


def template_bank(name: str) -> Bank:
    """The labels of a set and a few conditions, as a person would write them in a minute."""
    own = SETS[name]
    return Bank(
        name=name,
        labels=tuple(Label(name=label) for label in sorted(own.things)),
        conditions=tuple(Condition(id=f"c{i}", text=text, origin="added") for i, text in enumerate(own.conditions)),
    )


def measure(name: str, seed: int, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draw a set, train and evaluate; figures in per cent."""
    data = folder / f"{name}-{seed}"
    write(name, data, seed)
    bank = template_bank(name)
    (folder / "bank.json").write_text(bank.model_dump_json(by_alias=True), encoding="utf-8")
    seeds = dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches"), seed)
    chosen = {"data.dataset": "table", "data.data_root": str(data), "evaluation.bootstrap": 0, **seeds, **settings}
    ready = prepare(resolve(overrides=chosen), bank, folder / "cache")
    run = Run.create(folder / f"run-{name}-{seed}", ready.config, folder / "bank.json")
    start = time.process_time()
    train(run, ready)
    seconds = time.process_time() - start
    evaluation = evaluate(run, ready)
    return {
        "set": name,
        "seed": seed,
        "fedmpt": evaluation["test"]["mAP"],
        **{row["name"]: row["mAP"] for row in yardstick_rows(run)},
        "rounds": evaluation["rounds"],
        "of": ready.config.federation.rounds,
        "batch": ready.config.optimiser.batch_size,
        "seconds": seconds,
        "findings": findings(run),
    }


def summary(rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation of each figure, and the lowest share of the pooled probe's mAP."""
    keys = [key for key, value in rows[0].items() if isinstance(value, float)]
    cells = []
    for key in keys:
        values = [row[key] for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        cells.append(f"{key} {statistics.mean(values):.1f} ± {spread:.1f}")
    least = min(row["fedmpt"] / row["probe-pooled"] for row in rows)
    return f"{rows[0]['set']}: {', '.join(cells)}; least share of the pooled probe {least:.3f}"


def main() -> None:
    """Measure all sets and seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = dict(parse_assignment(text) for text in options.set)
    lines = []
    for name in options.sets:
        rows = []
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(name, seed, settings, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
        lines.append(summary(rows))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
