"""Runs on the drawn world without run folders, with results as JSON lines. Used by the other scenes_*.py."""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from prompt_bank.recording.store import load
from trainer.config.settings import settled
from trainer.data.base import client_indices
from trainer.evaluation.measuring import scores
from trainer.evaluation.metrics import choose_threshold, compute_metrics
from trainer.federation.aggregation.registry import choose_rule
from trainer.federation.client import ClientTrainer
from trainer.federation.local import LocalEngine
from trainer.federation.memory import ClientMemory, stateful_clients
from trainer.federation.replies import State
from trainer.federation.rounds import Gather, RoundContext, run_round
from trainer.preparing import Prepared, prepare
from trainer.resolving import resolve
from trainer.run_config import RunConfig

Settings = dict[str, Any]

TUNING_WORLD = 100
"""Seed of the world for tuning on validation images; not used in any table."""

NUMBERS: Settings = {"federation.rounds": 12, "optimiser.batch_size": 50}
"""For all rows and sweeps alike, whatever the number of clients; on the usual world `auto` gives the same."""


@dataclass(frozen=True)
class Job:
    """A training run: settings by dotted key, the seed of everything (including the world), and the evaluated split.

    The setting "bank" names another bank file in the folder of this file.
    """

    settings: Settings = field(hash=False)
    seed: int
    split: str

    def key(self) -> str:
        """The job's key in the ledger."""
        return json.dumps(asdict(self), sort_keys=True)


def configured(row: Settings, seed: int, bank: Path) -> tuple[RunConfig, Path | None]:
    """The settings of a row in a world, and its bank's file if its method reads one."""
    world = dict.fromkeys(("data.seed", "seeds.initial", "seeds.clients", "seeds.batches", "data.mask.seed"), seed)
    settings = dict(row)
    bank = Path(__file__).parent / settings.pop("bank") if "bank" in settings else bank
    config = resolve(overrides={**NUMBERS, **world, **settings})
    return config, bank if config.method.name == "fedmpt" else None


Sites = Callable[[Gather], Gather]
"""Changes what sites send."""


def honest(gather: Gather) -> Gather:
    """Sites that send what they have trained."""
    return gather


def run(job: Job, bank: Path, cache: Path, sites: Sites = honest) -> dict[str, float]:
    """Train, and evaluate once at the end, at the threshold chosen on the validation split."""
    torch.set_num_threads(1)
    config, own = configured(job.settings, job.seed, bank)
    ready = prepare(config, None if own is None else load(own).bank, cache)
    train(ready, sites)
    validation = scores(ready.method, ready.features(ready.dataset.validation))
    measured = validation if job.split == "validation" else scores(ready.method, ready.features(ready.dataset.test))
    found = compute_metrics(*measured, choose_threshold(*validation))
    figures = {"mAP": found.mAP, "CF1": found.CF1, "OF1": found.OF1}
    return {name: value for name, value in figures.items() if value is not None}


def train(ready: Prepared, sites: Sites = honest) -> None:
    """Run all rounds and load the last state into the method."""
    method = ready.method
    if not method.trainable():
        return
    with tempfile.TemporaryDirectory() as folder:
        method.receive(_trained(ready, Path(folder), sites))


def _trained(ready: Prepared, folder: Path, sites: Sites) -> State:
    """The state after all rounds; `folder` is for client states."""
    config, method, data = ready.config, ready.method, ready.dataset.train
    memory = ClientMemory(folder) if stateful_clients(config.federation, method) else None
    images, seed = ready.features(data), config.seeds.batches
    trainer = ClientTrainer(method, images, config.federation, config.optimiser, seed, memory=memory)
    engine = LocalEngine(trainer, client_indices(data))
    gather = sites(engine.gather)
    rule = choose_rule(config.federation, method.aggregation)
    state, clients, rounds = (
        method.exchanged(),
        len(engine.owned),
        settled(config.federation.rounds, "federation.rounds"),
    )
    for index in range(rounds):
        context = RoundContext(index, rounds)
        seed = config.seeds.clients
        state, record = run_round(state, clients, gather, config.federation, config.optimiser, seed, context, rule)
        if memory:
            memory.commit(index + 1, record.clients)
            memory.sweep([])
    return state


class Ledger:
    """Finished jobs in a JSON lines file, which are not run again.

    Args:
        file: created if it does not exist.
        bank: of all runs; use another file for another bank.
        cache: the feature cache.
        workers: number of processes, with one thread each.
        measure: runs a job, like `run`; must be a module's function.
    """

    def __init__(
        self,
        file: Path,
        bank: Path,
        cache: Path,
        workers: int,
        measure: Callable[[Job, Path, Path], dict[str, float]] = run,
    ) -> None:
        self.file, self.bank, self.cache, self.workers, self.measure = file, bank, cache, workers, measure
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        self.found: dict[str, dict[str, float]] = {}
        for line in map(json.loads, lines):
            self.found[Job(**line["job"]).key()] = line["figures"]

    def results(self, jobs: Iterable[Job]) -> list[dict[str, float]]:
        """The metrics of the jobs, in order; runs those that are missing."""
        wanted = list(jobs)
        missing = {job.key(): job for job in wanted if job.key() not in self.found}
        if missing:
            self._run(list(missing.values()))
        return [self.found[job.key()] for job in wanted]

    def _run(self, jobs: list[Job]) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, mp_context=context) as pool:
            running = {pool.submit(self.measure, job, self.bank, self.cache): job for job in jobs}
            for done in as_completed(running):
                job, found = running[done], done.result()
                self.found[job.key()] = found
                line = json.dumps({"job": asdict(job), "figures": found})
                with self.file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
                print(line, flush=True)


def cell(values: list[float], digits: int = 1) -> str:
    """Mean ± standard deviation, for a table."""
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"
