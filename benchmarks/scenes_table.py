"""FedMPT, its ablation and its controls on the drawn world: mean and spread over seeds, tuned on validation images.

    python benchmarks/scenes_table.py tune  --bank BANK [--seed 100] [--out FILE]   what each row's settings are worth
    python benchmarks/scenes_table.py table --bank BANK [--seeds 0 1 2] [--out FILE]

`tune` scores candidate settings on the validation split of a world (seed 100) that the table doesn't use, with the same
budget for every row. `table` trains each row with its chosen settings on the table's worlds and measures the test split
once, at the end. Both write a line of JSON for each run, and skip runs whose line is there already.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from prompt_bank.store import load
from trainer.config import RunConfig
from trainer.evaluation import scores
from trainer.federation.local import LocalEngine
from trainer.federation.rounds import RoundContext, run_round
from trainer.metrics import choose_threshold, figures
from trainer.resolving import resolve
from trainer.training import Prepared, owners, prepare

Settings = dict[str, Any]

TRANSPORT: Settings = {"method.matching": "transport"}
SHARP: Settings = {**TRANSPORT, "method.entropy": 0.05, "method.temperature": 0.3}
"""What the validation split chose for transport: among λ 0.02 … 0.2 and τ 0.1, 0.3."""

ROWS: dict[str, Settings] = {
    "zero-shot, image feature": {"method.name": "zero-shot", "method.pooling": "image"},
    "zero-shot, best patch": {"method.name": "zero-shot", "method.pooling": "max"},
    "CoOp + FedAvg, image feature": {"method.name": "coop"},
    "CoOp + FedAvg, best patch": {"method.name": "coop", "method.pooling": "max"},
    "FedMPT, transport (the paper's λ = 0.2)": TRANSPORT,
    "FedMPT, transport, λ = 0.05, τ = 0.3": SHARP,
    "  background column": {**SHARP, "method.marginals": "background"},
    "  prior columns": {**SHARP, "method.marginals": "prior"},
    "  relaxed rows": {**SHARP, "method.marginals": "relaxed-rows"},
    "  relaxed columns": {**SHARP, "method.marginals": "relaxed-columns"},
    "  plan not differentiated": {**SHARP, "method.differentiate_plan": False},
    "  transport, empty conditions": {**SHARP, "method.conditions": "empty"},
    "FedMPT, softmax pooling (default)": {},
    "  without gate": {"method.gate": False},
    "  without adapters and gate": {"method.gate": False, "method.adapters": False},
    "  one prompt, adapter of rank 160": {"method.conditions": "single", "method.rank": 160},
    "  empty conditions": {"method.conditions": "empty"},
    "  irrelevant conditions": {"method.conditions": "irrelevant"},
}
"""What each row of the table changes."""


def run(settings: Settings, seed: int, bank: Path, cache: Path, test: bool) -> dict[str, float]:
    """Train with these settings; figures on the validation split, or, at the very end, on the test split."""
    world = dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches"), seed)
    config = resolve(overrides={**settings, **world})
    ready = prepare(config, load(bank).bank if config.method.name == "fedmpt" else None, cache)
    _train(config, ready)
    validation = scores(ready.method, ready.features(ready.dataset.validation))
    threshold = choose_threshold(*validation)
    measured = scores(ready.method, ready.features(ready.dataset.test)) if test else validation
    found = figures(*measured, threshold)
    return {"mAP": found.mAP, "CF1": found.CF1, "OF1": found.OF1}


def _train(config: RunConfig, ready: Prepared) -> None:
    """The rounds of a run, without a run's folder."""
    method = ready.method
    if not method.trainable():
        return
    train = ready.dataset.train
    engine = LocalEngine(
        method, ready.features(train), owners(train), config.federation, config.optimiser, config.seeds.batches
    )
    state, rounds = method.exchanged(), config.federation.rounds
    for index in range(rounds):
        state, _ = run_round(
            state,
            len(engine.owned),
            engine.train_client,
            config.federation,
            config.optimiser,
            config.seeds.clients,
            RoundContext(index, rounds),
        )
    method.receive(state)


def remembered(out: Path, key: Settings, compute: Any) -> dict[str, Any]:
    """The run's line, computed and appended where it isn't there."""
    if out.is_file():
        for line in out.read_text(encoding="utf-8").splitlines():
            known = json.loads(line)
            if known["key"] == key:
                return dict(known)
    computed: dict[str, Any] = {"key": key, **compute()}
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(computed) + "\n")
    print(json.dumps(computed), flush=True)
    return computed


def tune(options: argparse.Namespace) -> None:
    """Every candidate on the validation split of the tuning world."""
    candidates: list[Settings] = json.loads(options.candidates.read_text(encoding="utf-8"))
    found = []
    for settings in candidates:
        key = {"seed": options.seed, "settings": settings}
        found.append(
            remembered(
                options.out, key, lambda s=settings: run(s, options.seed, options.bank, options.cache_dir, test=False)
            )
        )
    for line in sorted(found, key=lambda line: -line["mAP"]):
        print(f"{line['mAP']:6.2f}  {json.dumps(line['key']['settings'])}")


def table(options: argparse.Namespace) -> None:
    """Every row on the test split of every world, then mean and standard deviation."""
    chosen: dict[str, Settings] = (
        json.loads(options.chosen.read_text(encoding="utf-8")) if options.chosen is not None else {}
    )
    lines: dict[str, list[dict[str, float]]] = {}
    for row, settings in ROWS.items():
        if options.rows and row.strip() not in options.rows:
            continue
        for seed in options.seeds:
            everything = {**chosen.get("all", {}), **settings, **chosen.get(row, {})}
            if everything.get("method.name", "fedmpt") != "fedmpt":
                everything = {k: v for k, v in everything.items() if k in settings or not k.startswith("method.")}
            key = {"row": row, "seed": seed, "settings": everything}
            lines.setdefault(row, []).append(
                remembered(
                    options.out, key, lambda s=everything, n=seed: run(s, n, options.bank, options.cache_dir, test=True)
                )
            )
    print(f"\n| {'setting':<58} | mAP | CF1 | OF1 |\n|---|---|---|---|")
    for row, found in lines.items():
        cells = []
        for figure in ("mAP", "CF1", "OF1"):
            values = [line[figure] for line in found]
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}")
        print(f"| {row:<58} | {' | '.join(cells)} |")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("tune", tune), ("table", table)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("--bank", type=Path, required=True)
        command.add_argument("--cache-dir", type=Path, default=Path("cache"))
        command.add_argument("--out", type=Path, default=Path(f"benchmarks/scenes-{name}.jsonl"))
        if name == "tune":
            command.add_argument("--seed", type=int, default=100)
            command.add_argument("--candidates", type=Path, required=True, help="JSON list of settings")
        else:
            command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
            command.add_argument("--rows", nargs="+", help="only these rows")
            command.add_argument("--chosen", type=Path, help='JSON: row name (or "all") to settings')
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
