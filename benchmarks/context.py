"""The benefit of knowledge of conditions (`method.context`), by its source and by its form.

    python benchmarks/context.py --bank BANK [--seeds 10 11 12 13 14] [--tries 6] [--rows "bank" "sites"]

On the natural variant of the drawn world. BANK has affinities for its labels. Every row gets the same number of tries
on the validation images of a world outside the table: the row's own settings first, then samples of its search space.
The best try is evaluated once on the test images of each seed's world. Differences are paired by world: to the row
`none` of the same method (for fedmpt tuned in its training settings, for zero-shot in pooling and prompt template), and
from `bank` to `shuffled` and to `oracle` in each form. Context rows keep the default training settings; where `none`
gained by tuning those, the comparison favours `none`. Rows with "chosen" have no tries: the strength is the best of a
few on the validation images of each world, as the thresholds are (`context_strength=auto`).

Every finished cell (a row's settings, a world, a split) is stored in the folder --out, so a stopped run continues.
The file's name contains the bank's hash and the settings of --set.

spurious: of label pairs that are associated at some site (lift of at least 2, 10 images with both) but not by the rules
(lift of at most 1), P(b predicted | a present, b absent) - P(b predicted | a absent, b absent), mean over pairs, in per
cent.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from context_rows import METHODS, ROWS, SPACES, Row, paired_rows
from safetensors.torch import load_file, save
from scenes_runs import TUNING_WORLD, Job, Ledger, Settings, cell, train
from torch import Tensor

from fedmpt.common.files import write_atomically
from prompt_bank.recording.store import load
from trainer.data.scenes.natural import everywhere
from trainer.data.scenes.objects import CLASSES
from trainer.data.scenes.occurrence import occurrence
from trainer.evaluation.measuring import scores
from trainer.evaluation.metrics import choose_threshold, compute_metrics
from trainer.evaluation.validation import validate
from trainer.federation.replies import State
from trainer.heads.context_tables import bank_table
from trainer.methods.base import TERM
from trainer.preparing import Prepared, prepare
from trainer.resolving import parse_assignment, resolve

WORLD: Settings = {"data.scenes.variant": "natural"}
EMPTY = "empty"
"""Name of a placeholder tensor in the file of a state without tensors."""


def run(job: Job, bank: Path, cache: Path) -> dict[str, float]:
    """Train, or reuse the same training of another row, and evaluate once at the threshold of the validation split."""
    torch.set_num_threads(1)
    world = dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches", "data.mask.seed"), job.seed)
    settings = {**WORLD, **world, **job.settings}
    if settings.get("method.context") == "shuffled":
        settings["method.context_seed"] = job.seed
    ready = prepare(resolve(overrides=settings), load(bank).bank, cache)
    ready.method.receive({**ready.method.exchanged(), **_trained(ready, settings, bank, cache / "context-states")})
    validate(ready.method, ready.features(ready.dataset.validation))  # chooses the strength if it is "auto"
    validation = scores(ready.method, ready.features(ready.dataset.validation))
    threshold = choose_threshold(*validation)
    logits, labels = (
        validation if job.split == "validation" else scores(ready.method, ready.features(ready.dataset.test))
    )
    found = compute_metrics(logits, labels, threshold)
    activation = spurious_activation(ready, logits.sigmoid() > threshold, labels)
    metrics = {"mAP": found.mAP, "CF1": found.CF1, "OF1": found.OF1}
    return {"spurious": activation} | {name: float("nan") if x is None else x for name, x in metrics.items()}


def _trained(ready: Prepared, settings: Settings, bank: Path, folder: Path) -> State:
    """The trained parameters. Unless the context's strength is learned, training is the same as without context."""
    learned = bool(settings.get("method.context_learned"))
    relevant = {key: value for key, value in settings.items() if learned or not key.startswith("method.context")}
    digest = hashlib.sha256(json.dumps(relevant, sort_keys=True).encode() + bank.read_bytes()).hexdigest()
    file = folder / f"{digest[:24]}.safetensors"
    if not file.is_file():
        train(ready)
        folder.mkdir(parents=True, exist_ok=True)
        state = ready.method.exchanged()
        kept = {name: value for name, value in state.items() if learned or not name.startswith(TERM)}
        write_atomically(file, save(kept or {EMPTY: torch.zeros(1)}))
    return {name: value for name, value in load_file(file).items() if name != EMPTY}


def spurious_activation(ready: Prepared, predicted: Tensor, labels: Tensor) -> float:
    """The mean over spurious pairs, in per cent; NaN if there are none. Predictions and labels are (images, labels)."""
    train_split = ready.dataset.train
    associated = np.zeros((labels.shape[1],) * 2, bool)
    for site in np.unique(train_split.sites):
        present = (train_split.labels[train_split.sites == site] == 1).astype(float)
        rate, both = present.mean(0), present.T @ present
        associated |= (both >= 10) & (both / len(present) >= 2 * np.outer(rate, rate))
    lift = occurrence(everywhere(ready.config.data.scenes.unusual)).lift()
    np.fill_diagonal(associated, False)
    found = []
    for a, b in zip(*np.nonzero(associated & (lift <= 1)), strict=True):
        absent = labels[:, b] == 0
        with_a, without = predicted[absent & (labels[:, a] == 1), b], predicted[absent & (labels[:, a] == 0), b]
        if len(with_a) and len(without):
            found.append(float(with_a.float().mean() - without.float().mean()))
    return 100 * float(np.mean(found)) if found else float("nan")


def tries(row: Row, count: int, common: Settings) -> list[Settings]:
    """The row's own settings, then samples of its search space without repetition; fewer if the space has no more."""
    generator = np.random.default_rng(0)
    found = [{**common, **row.settings}]
    for _ in range(50 * count):
        drawn = {key: space.sample(generator) for key, space in SPACES.items()}
        sample = {**common, **row.settings, **{key: drawn[key] for key in row.tuned}}
        if len(found) < count and sample not in found:
            found.append(sample)
    return found


def best_try(ledger: Ledger, row: Row, count: int, common: Settings) -> Settings:
    """The settings of the try with the highest validation mAP in the tuning world."""
    candidates = tries(row, count, common)
    found = ledger.results(Job(candidate, TUNING_WORLD, "validation") for candidate in candidates)
    return max(zip(candidates, found, strict=True), key=lambda pair: pair[1]["mAP"])[0]


Results = dict[str, list[dict[str, float]]]
"""The metrics of each row, in the order of the seeds."""


def differences(results: Results, one: str, other: str, metric: str) -> list[float]:
    """Paired differences of two rows, one for each world."""
    return [a[metric] - b[metric] for a, b in zip(results[one], results[other], strict=True)]


def print_table(results: Results, chosen: dict[str, Settings]) -> None:
    """All rows, with mean ± standard deviation of the metrics and of the differences to `none`."""
    print("\n| | mAP | mAP − none | CF1 | spurious | spurious − none | chosen |\n|---|---:|---:|---:|---:|---:|---|")
    for name, found in results.items():
        none = METHODS[ROWS[name].method] + "none"
        mean_ap, cf1, activation = (cell([one[metric] for one in found]) for metric in ("mAP", "CF1", "spurious"))
        gains, changes = (cell(differences(results, name, none, metric), 2) for metric in ("mAP", "spurious"))
        own = ", ".join(f"{key.split('.')[-1]} {chosen[name][key]}" for key in ROWS[name].tuned if key in chosen[name])
        print(f"| {name} | {mean_ap} | {gains} | {cf1} | {activation} | {changes} | {own or 'defaults'} |", flush=True)


def print_comparisons(results: Results) -> None:
    """For each method and form: the bank's gain, its difference to the shuffled bank, its fraction of the oracle's."""
    complete = [row for row in paired_rows() if set(row[1:]) <= results.keys()]
    if complete:
        print("\n| | bank − none | bank − shuffled | fraction of the oracle's gain |\n|---|---:|---:|---:|")
    for name, none, bank, shuffled, oracle in complete:
        gain, best = (float(np.mean(differences(results, row, none, "mAP"))) for row in (bank, oracle))
        fraction = f"{gain / best:.2f}" if best > 0 else "the oracle gains nothing"
        gains, above = (cell(differences(results, bank, row, "mAP"), 2) for row in (none, shuffled))
        print(f"| {name} | {gains} | {above} | {fraction} |", flush=True)


def main() -> None:
    """Run the missing cells, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("cache"))
    parser.add_argument("--out", type=Path, default=Path("runs/context"), help="folder of the finished cells")
    parser.add_argument("--tries", type=int, default=6, help="for each row, on validation images of another world")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14], help="worlds of the table")
    parser.add_argument("--workers", type=int, default=1, help="processes with one thread each")
    parser.add_argument("--rows", nargs="+", default=[""], help="only rows whose names contain one of these")
    parser.add_argument("--without", nargs="+", default=[], help="no rows whose names contain one of these")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of all rows")
    options = parser.parse_args()
    if options.tries < 1 or TUNING_WORLD in options.seeds:
        parser.error(f"--tries is at least 1, and seed {TUNING_WORLD} is the world of the tries, not of the table")
    common = dict(parse_assignment(text) for text in options.set)
    bank_table(load(options.bank).bank, CLASSES, ())  # A bank without affinities fails here rather than hours later.
    named = json.dumps(common, sort_keys=True).encode() + options.bank.read_bytes()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / f"{options.bank.stem}-{hashlib.sha256(named).hexdigest()[:12]}.jsonl"
    ledger = Ledger(file, options.bank, options.cache_dir, options.workers, run)
    baselines = [f"{prefix}none" for prefix in METHODS.values()]
    names = [
        name
        for name in ROWS
        if name in baselines
        or (any(word in name for word in options.rows) and not any(word in name for word in options.without))
    ]
    chosen = {name: best_try(ledger, ROWS[name], options.tries, common) for name in names}
    jobs = {name: [Job(settings, seed, "test") for seed in options.seeds] for name, settings in chosen.items()}
    results = {name: ledger.results(row) for name, row in jobs.items()}
    print_table(results, chosen)
    print_comparisons(results)


if __name__ == "__main__":
    main()
