"""What knowledge of conditions is worth in recognition, by where it comes from and in which form it is used.

    python benchmarks/context.py --bank BANK [--trials 6] [--seeds 10 11 12 13 14] [--rows bank sites]

On the drawn world's natural variant, where conditions are causes. BANK has affinities. Each row gets the same number of
trials on the validation images of a world that the table doesn't have: the row's own settings first, then random ones
of its search space. The best trial is measured once on the test images of the table's worlds, and compared world by
world with the row `none` of its method. Finished runs are kept in --out; another bank wants another file.

spurious: of pairs that some site ties (lift of at least 2, 10 images of both) and the rules don't (lift of at most 1),
how much more often b is claimed wrongly where a is than where it isn't, P(b̂ | a, ¬b) - P(b̂ | ¬a, ¬b), in per cent.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scenes_runs import TUNING_WORLD, Job, Ledger, Settings, cell, train
from torch import Tensor

from prompt_bank.recording.store import load
from trainer.data.scenes.natural import everywhere
from trainer.data.scenes.occurrence import occurrence
from trainer.evaluation.measuring import scores
from trainer.evaluation.metrics import choose_threshold, compute_metrics
from trainer.federation.replies import State
from trainer.methods.base import TERM
from trainer.preparing import Prepared, prepare
from trainer.resolving import resolve

SPACES: dict[str, tuple[float, float]] = {
    "method.context_strength": (0.1, 1.5),
    "method.context_temperature": (0.5, 3.0),
    "method.context_rate": (1.0, 30.0),
    "optimiser.learning_rate": (3e-3, 3e-2),
    "method.share_temperature": (1.5, 5.0),
}
"""What a trial's settings are drawn between, evenly in their logarithm."""

PREDICTED = ("method.context_strength", "method.context_temperature")
LEARNED = ("method.context_rate", "method.context_temperature")
TRAINED = ("optimiser.learning_rate", "method.share_temperature")

WORLD: Settings = {"data.scenes.variant": "natural"}
ZERO_SHOT: Settings = {"method.name": "zero-shot"}
LEARNS: Settings = {"method.context_learned": True, "method.context_strength": 0.0}

Row = tuple[Settings, tuple[str, ...]]


def using(context: str, form: str = "front-door", **more: object) -> Settings:
    """A row with this knowledge in this form."""
    return {"method.context": context, "method.context_form": form, **more}


ROWS: dict[str, Row] = {
    "none": ({}, ()),
    "none, tuned": ({}, TRAINED),
    "values as prompts": ({"method.conditions": "values"}, TRAINED),
    "oracle, front-door": (using("oracle"), PREDICTED),
    "oracle, front-door, learned": ({**using("oracle"), **LEARNS}, LEARNED),
    "oracle, posterior": (using("oracle", "posterior"), PREDICTED),
    "oracle, label graph": (using("oracle", "label-graph"), PREDICTED),
    "oracle, label graph, learned": ({**using("oracle", "label-graph"), **LEARNS}, LEARNED),
    "oracle, compounds": (using("oracle", "compound"), PREDICTED),
    "bank, front-door": (using("bank"), PREDICTED),
    "bank, front-door, learned": ({**using("bank"), **LEARNS}, LEARNED),
    "shuffled, front-door": (using("shuffled"), PREDICTED),
    "sites, front-door": (using("sites"), PREDICTED),
    "sites, label graph": (using("sites", "label-graph"), PREDICTED),
    "zero-shot: none": (ZERO_SHOT, ()),
    "zero-shot: oracle, front-door": ({**ZERO_SHOT, **using("oracle")}, PREDICTED),
    "zero-shot: oracle, posterior": ({**ZERO_SHOT, **using("oracle", "posterior")}, PREDICTED),
    "zero-shot: oracle, label graph": ({**ZERO_SHOT, **using("oracle", "label-graph")}, PREDICTED),
    "zero-shot: oracle, compounds": ({**ZERO_SHOT, **using("oracle", "compound")}, PREDICTED),
    "zero-shot: bank, front-door": ({**ZERO_SHOT, **using("bank")}, PREDICTED),
    "zero-shot: bank, compounds": ({**ZERO_SHOT, **using("bank", "compound")}, PREDICTED),
    "zero-shot: shuffled, front-door": ({**ZERO_SHOT, **using("shuffled")}, PREDICTED),
    "zero-shot: sites, front-door": ({**ZERO_SHOT, **using("sites")}, PREDICTED),
}
"""Each row's settings, and what of them is tuned. Forms are compared by what is true, sources by the first form."""


def run(job: Job, bank: Path, cache: Path) -> dict[str, float]:
    """Train, unless the same training was done for another row, and score once."""
    torch.set_num_threads(1)
    world = dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches", "data.mask.seed"), job.seed)
    settings = {**WORLD, **world, **job.settings}
    ready = prepare(resolve(overrides=settings), load(bank).bank, cache)
    ready.method.receive({**ready.method.exchanged(), **_trained(ready, settings, bank, cache / "context-states")})
    validation = scores(ready.method, ready.features(ready.dataset.validation))
    threshold = choose_threshold(*validation)
    logits, labels = (
        validation if job.split == "validation" else scores(ready.method, ready.features(ready.dataset.test))
    )
    found = compute_metrics(logits, labels, threshold)
    claimed = spurious(ready, logits.sigmoid() > threshold, labels)
    return {"mAP": found.mAP, "CF1": found.CF1, "OF1": found.OF1, "spurious": claimed}


def _trained(ready: Prepared, settings: Settings, bank: Path, folder: Path) -> State:
    """The trained parameters; where the context isn't learned, training is the same as without it, and done once."""
    learned = bool(settings.get("method.context_learned"))
    what = {key: value for key, value in settings.items() if learned or not key.startswith("method.context")}
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode() + bank.read_bytes()).hexdigest()
    file = folder / f"{digest[:24]}.safetensors"
    if not file.is_file():
        train(ready)
        folder.mkdir(parents=True, exist_ok=True)
        state = ready.method.exchanged()
        kept = {name: value for name, value in state.items() if learned or not name.startswith(TERM)}
        save_file(kept or {"nothing": torch.zeros(1)}, file)
    return {name: value for name, value in load_file(file).items() if name != "nothing"}


def spurious(ready: Prepared, claims: Tensor, labels: Tensor) -> float:
    """Spurious activation over the pairs that sites tie and the rules don't, in per cent."""
    train_split = ready.dataset.train
    tied = np.zeros((labels.shape[1],) * 2, bool)
    for site in np.unique(train_split.sites):
        there = (train_split.labels[train_split.sites == site] == 1).astype(float)
        rate, both = there.mean(0), there.T @ there
        tied |= (both >= 10) & (both / len(there) >= 2 * np.outer(rate, rate))
    lift = occurrence(everywhere(ready.config.data.scenes.unusual)).lift()
    np.fill_diagonal(tied, False)
    found = []
    for a, b in zip(*np.nonzero(tied & (lift <= 1)), strict=True):
        absent = labels[:, b] == 0
        with_a, without = claims[absent & (labels[:, a] == 1), b], claims[absent & (labels[:, a] == 0), b]
        if len(with_a) and len(without):
            found.append(float(with_a.float().mean() - without.float().mean()))
    return 100 * float(np.mean(found))


def trials(row: Row, count: int) -> list[Settings]:
    """A row's own settings, then random ones of its space."""
    settings, tuned = row
    generator = np.random.default_rng(0)
    found = [settings]
    for _ in range(count - 1 if tuned else 0):
        drawn = {key: low * (high / low) ** generator.uniform() for key, (low, high) in SPACES.items()}
        found.append({**settings, **{key: float(f"{drawn[key]:.2g}") for key in tuned}})
    return found


def chosen(ledger: Ledger, row: Row, count: int) -> Settings:
    """The trial with the best validation mAP in the tuning world."""
    candidates = trials(row, count)
    if len(candidates) == 1:
        return candidates[0]
    found = ledger.results(Job(candidate, TUNING_WORLD, "validation") for candidate in candidates)
    return max(zip(candidates, found, strict=True), key=lambda pair: pair[1]["mAP"])[0]


def _asked(name: str, rows: list[str], without: list[str]) -> bool:
    return any(word in name for word in rows) and not any(word in name for word in without)


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--cache-dir", type=Path, default=Path("cache"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/context-runs.jsonl"))
    parser.add_argument("--trials", type=int, default=6, help="for each row, on validation images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", nargs="+", default=[""], help="only rows with one of these words in their names")
    parser.add_argument("--without", nargs="+", default=[], help="no rows with one of these words")
    options = parser.parse_args()
    ledger = Ledger(options.out, options.bank, options.cache_dir, options.workers, run)
    compared = ("none", "zero-shot: none")
    names = [name for name in ROWS if name in compared or _asked(name, options.rows, options.without)]
    best = {name: chosen(ledger, ROWS[name], options.trials) for name in names}
    print("\n| | mAP | − none | CF1 | spurious | chosen |\n|---|---:|---:|---:|---:|---|")
    for name, settings in best.items():
        found = ledger.results(Job(settings, seed, "test") for seed in options.seeds)
        base = best[compared["zero-shot" in name]]
        plain = ledger.results(Job(base, seed, "test") for seed in options.seeds)
        gains = [one["mAP"] - other["mAP"] for one, other in zip(found, plain, strict=True)]
        cells = [cell([one[figure] for one in found]) for figure in ("mAP", "CF1", "spurious")]
        own = ", ".join(f"{key.split('.')[-1]} {settings[key]:g}" for key in ROWS[name][1] if key in settings)
        print(f"| {name} | {cells[0]} | {cell(gains)} | {cells[1]} | {cells[2]} | {own} |", flush=True)


if __name__ == "__main__":
    main()
