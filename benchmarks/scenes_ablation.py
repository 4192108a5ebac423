"""FedMPT's ablation (the paper's Table 4) with controls on the drawn world, and parameter sweeps.

    python benchmarks/scenes_ablation.py table  --bank BANK [--tries 8] [--seeds 0 1 2 3 4]
    python benchmarks/scenes_ablation.py sweeps --bank BANK [--sweep-seeds 0 1 2]

`table`: each row is tuned as by `fedmpt tune`, with the same number of tries on the validation images of a world that
is not in the table. The best try's settings are trained on the table's worlds and evaluated once on the test images.
`sweeps` evaluates the tuned settings for other numbers of clients, mask rates and participation rates. Finished runs
are kept in --out, and the tries beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import torch
from scenes_runs import TUNING_WORLD, Job, Ledger, Settings, cell, configured

from trainer.options import Options
from trainer.progress import Progress
from trainer.tuning.tuning import best_settings


class Place(NamedTuple):
    """Where a worker finds the bank and the features, and keeps the tries."""

    bank: Path
    cache: Path
    tries: Path


PROMPTS: Settings = {"method.adapters": False, "method.gate": False}
ADAPTERS: Settings = {"method.prompts": False, "method.gate": False}
BOTH: Settings = {"method.gate": False}
EMPTY: Settings = {"method.conditions": "empty"}
IRRELEVANT: Settings = {"method.conditions": "irrelevant"}
SINGLE: Settings = {"method.conditions": "single", "method.rank": 160}

LEARNED: Settings = {"method.background": "learned"}
VALUES: Settings = {"method.background": "values"}
REVIEWED = "scenes24-reviewed.json"
"""The mined bank, with values written by a person who knows the places and lights of the sites' images."""


def matched(matching: str, settings: Settings) -> Settings:
    """A row of FedMPT with this matching."""
    return {"method.matching": matching, **settings}


ROWS: dict[str, Settings] = {
    "zero-shot, image feature": {"method.name": "zero-shot", "method.pooling": "image"},
    "zero-shot, best patch": {"method.name": "zero-shot", "method.pooling": "max"},
    "CoOp + FedAvg, image feature": {"method.name": "coop"},
    "prompts only": matched("image", PROMPTS),
    "adapters only": matched("image", ADAPTERS),
    "both": matched("image", BOTH),
    "both + gate": matched("image", {}),
    "both + transport": matched("transport", BOTH),
    "both + transport + gate: the paper's FedMPT": matched("transport", {}),
    "  empty conditions": matched("transport", EMPTY),
    "  irrelevant conditions": matched("transport", IRRELEVANT),
    "  one prompt, adapter of rank 160": matched("transport", SINGLE),
    "prompts + softmax pooling": matched("softmax", PROMPTS),
    "adapters + softmax pooling": matched("softmax", ADAPTERS),
    "both + softmax pooling": matched("softmax", BOTH),
    "both + softmax pooling + gate": matched("softmax", {}),
    "  empty conditions ": matched("softmax", EMPTY),
    "  irrelevant conditions ": matched("softmax", IRRELEVANT),
    "  one prompt, adapter of rank 160 ": matched("softmax", SINGLE),
    "both + shares + gate: the default": matched("shares", {}),
    "  empty conditions  ": matched("shares", EMPTY),
    "  irrelevant conditions  ": matched("shares", IRRELEVANT),
    "  one prompt, adapter of rank 160  ": matched("shares", SINGLE),
    "  background learned from nothing": matched("shares", LEARNED),
    "  background from the values as mined": matched("shares", VALUES),
    "  background from irrelevant words": matched("shares", {**VALUES, **IRRELEVANT}),
    "  background from the values as reviewed": matched("shares", {**VALUES, "bank": REVIEWED}),
}
"""The settings of each row. Rows without transport or pooling use the image feature."""

SWEPT = (
    "CoOp + FedAvg, image feature",
    "both + transport + gate: the paper's FedMPT",
    "both + softmax pooling + gate",
    "both + shares + gate: the default",
)
"""The rows used in the sweeps."""

SWEEPS: dict[str, dict[str, Settings]] = {
    "clients by KMeans of labels, t": {
        f"{t}": {"data.partition.kind": "kmeans", "data.partition.share": t} for t in (0.1, 0.3, 1.0)
    },
    "hidden annotations": {f"{rate}": {"data.mask.rate": rate} for rate in (0.1, 0.5, 0.9)},
    "participation, of 24 clients (all: t = 1.0)": {
        f"{share}": {
            "data.partition.kind": "kmeans",
            "data.partition.share": 1.0,
            "federation.participation": share,
        }
        for share in (0.1, 0.5)
    },
}


def tried(row: Settings, place: Place, count: int) -> Settings:
    """A row with the settings of its best try in the tuning world; zero-shot is not tuned."""
    torch.set_num_threads(1)
    config, bank = configured(row, TUNING_WORLD, place.bank)
    folder = place.tries / hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:12]
    return {**row, **best_settings(config, bank, count, folder, Options(place.cache, progress=Progress()))}


def chosen(ledger: Ledger, names: Iterable[str], count: int) -> dict[str, Settings]:
    """The tuned rows by name."""
    wanted = list(names)
    place = Place(ledger.bank, ledger.cache, ledger.file.with_suffix(".tries"))
    with ProcessPoolExecutor(ledger.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.map(tried, [ROWS[name] for name in wanted], repeat(place), repeat(count))
        return dict(zip(wanted, found, strict=True))


def table(ledger: Ledger, options: argparse.Namespace) -> None:
    """Evaluate every tuned row on every world of the table."""
    rows = chosen(ledger, ROWS, options.tries)
    ledger.results(Job(settings, seed, "test") for settings in rows.values() for seed in options.seeds)
    print(f"\n| {'':<46} | mAP | CF1 | OF1 | chosen |\n|---|---:|---:|---:|---|")
    for name, settings in rows.items():
        found = ledger.results(Job(settings, seed, "test") for seed in options.seeds)
        cells = " | ".join(cell([line[figure] for line in found]) for figure in ("mAP", "CF1", "OF1"))
        own = ", ".join(f"{key.split('.')[-1]} {value:g}" for key, value in settings.items() if key not in ROWS[name])
        print(f"| {name:<46} | {cells} | {own} |")


def sweeps(ledger: Ledger, options: argparse.Namespace) -> None:
    """Test mAP at every point of every sweep, with the settings tuned for the table."""
    methods = chosen(ledger, SWEPT, options.tries)
    for title, points in SWEEPS.items():
        print(f"\n| {title} | {' | '.join(points)} |\n|---|{'---:|' * len(points)}")
        for name, settings in methods.items():
            cells = []
            for point in points.values():
                found = ledger.results(Job({**settings, **point}, seed, "test") for seed in options.sweep_seeds)
                cells.append(cell([line["mAP"] for line in found]))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("table", table), ("sweeps", sweeps)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("--bank", type=Path, required=True)
        command.add_argument("--cache-dir", type=Path, default=Path("cache"))
        command.add_argument("--out", type=Path, default=Path("benchmarks/scenes-runs.jsonl"))
        command.add_argument("--tries", type=int, default=8, help="for each row, on validation images")
        command.add_argument("--workers", type=int, default=os.cpu_count() or 1)
        if name == "table":
            command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
        else:
            command.add_argument("--sweep-seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    options.function(Ledger(options.out, options.bank, options.cache_dir, options.workers), options)


if __name__ == "__main__":
    main()
