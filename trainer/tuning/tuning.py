"""Tune a method's settings on validation images. The test split is not read."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prompt_bank.recording.store import content_hash
from prompt_bank.recording.store import load as load_bank
from trainer.config.settings import settled
from trainer.config.space import SearchSpace
from trainer.data.partition import partition_hash, save_partition
from trainer.errors import RunFailed, TrainerError
from trainer.evaluation.metrics import Metrics
from trainer.federation.rounds import RoundRecord
from trainer.options import Options
from trainer.preparing import Prepared, Reporter, assemble
from trainer.resolving import changed
from trainer.run.folder import Run
from trainer.run_config import RunConfig
from trainer.train import train
from trainer.tuning.space import space_of, value_of
from trainer.tuning.study import Claim, Study, Try

POLL_SECONDS = 1.0
"""Between two looks at tries that other processes work on."""
ELSEWHERE: Any = {"device": True, "checkpoint_every": True, "data": {"data_root"}, "backbone": {"pretrained"}}
"""Settings that workers may have different: where things are. Data and weights are compared by their hashes."""


class _Pruned(Exception):
    """The try is not worth more rounds."""


@dataclass(frozen=True)
class Tuned:
    """The result of tuning.

    Attributes:
        folder: of the study.
        tries: finished, in order.
    """

    folder: Path
    tries: tuple[Try, ...]

    @property
    def best(self) -> Try:
        """The complete try with the highest validation mAP, the first if tied.

        Raises:
            RunFailed: every try failed.
        """
        complete = [one for one in self.tries if one.state == "complete" and one.mAP is not None]
        if not complete:
            reasons = "; ".join(sorted({one.reason for one in self.tries}))
            raise RunFailed(f"{self.folder}: every try failed: {reasons}")
        return max(complete, key=lambda one: (one.mAP or 0.0, -one.number))


def best_settings(
    config: RunConfig,
    bank: Path | None,
    tries: int,
    folder: Path,
    options: Options | None = None,
    space: SearchSpace | None = None,
    prepared: Prepared | None = None,
) -> dict[str, Any]:
    """The settings of the best try, by dotted key: what to change in `config`; see `tune`.

    Empty if the settings as given are best, and for methods that train nothing.
    """
    ready = prepared if prepared is not None else (options or Options()).prepare(config, bank)
    if not assembled(ready, config, bank).method.trainable():
        return {}
    return tune(config, bank, tries, folder, options, space, ready).best.settings


def tune(
    config: RunConfig,
    bank: Path | None,
    tries: int,
    folder: Path,
    options: Options | None = None,
    space: SearchSpace | None = None,
    prepared: Prepared | None = None,
    after_try: Callable[[Try], None] = lambda done: None,
) -> Tuned:
    """Train a method with different settings, and compare validation mAP after the last round.

    Try 0 has the settings as they are and is never pruned. The same call in several processes shares the tries of the
    folder; an interrupted one goes on. Returns when all are finished, by whichever process.

    Args:
        config: the settings that are tuned.
        bank: its file.
        tries: in all, in the folder.
        folder: of the study.
        options: where the cache is, and what is printed.
        space: dimensions in place of or beside those that the method declares.
        prepared: the same data and backbone, loaded before; None to load them.
        after_try: called after each try of this process.

    Raises:
        TrainerError: wrong settings, data, bank, space or folder; a method that trains nothing; no positive label in
            the validation images.
    """
    if tries < 1:
        raise TrainerError("tune needs at least one try")
    options = options or Options()
    chosen = space_of(config, space)
    ready = prepared if prepared is not None else options.prepare(config, bank)
    ready = assembled(ready, config, bank)
    if not ready.method.trainable():
        raise TrainerError(f"method {config.method.name} trains nothing, so there is nothing to tune")
    study = Study(
        folder,
        tries,
        chosen,
        {key: value_of(config, key) for key in chosen},
        config.seeds.batches,
        settled(ready.config.federation.rounds, "federation.rounds"),
        _about(config, ready, bank, chosen),
    )
    while len(study.finished()) < tries:
        claim = study.claim()
        if claim is None:
            time.sleep(POLL_SECONDS)
            continue
        try:
            done = _attempt(study, claim, ready, config, bank)
            study.end(claim, done)
        finally:
            claim.lock.release()  # an open try is taken up again
        after_try(done)
    return Tuned(folder, tuple(study.finished()[:tries]))


def assembled(prepared: Prepared, config: RunConfig, bank: Path | None) -> Prepared:
    """The method of other settings on loaded data and backbone."""
    read = None if bank is None else load_bank(bank).bank
    quiet = replace(prepared.reporter, say=Reporter().say)
    return assemble(config, prepared.dataset, prepared.method.clip, read, prepared.cache, quiet)


def _attempt(study: Study, claim: Claim, ready: Prepared, config: RunConfig, bank: Path | None) -> Try:
    start = time.perf_counter()
    # Only the best and the last checkpoint are kept.
    tried = changed(config, {**claim.settings, "checkpoint_every": 10_000})
    prepared = assembled(ready, tried, bank)
    run = _run(study.run_folder(claim.number), prepared, bank)
    state, reason = "complete", ""

    def report(rounds: int, mAP: float | None) -> bool:
        if mAP is None:
            raise TrainerError("the validation images have no positive label, so there is nothing to choose by")
        claim.trial.report(mAP, rounds)
        return claim.number > 0 and claim.trial.should_prune()

    def after_round(record: RoundRecord, validation: Metrics, rounds: int) -> None:
        if report(record.round + 1, validation.mAP):
            raise _Pruned

    for record in run.metrics():  # of a process that died
        if record["rounds"] <= max(run.checkpoints(), default=0):
            report(record["rounds"], record["validation"]["mAP"])
    try:
        train(run, prepared, after_round=after_round)
    except _Pruned:
        state = "pruned"
    except RunFailed as error:
        state, reason = "failed", str(error)
    records = run.metrics()
    mAP = records[-1]["validation"]["mAP"] if records and state != "failed" else None
    return Try(claim.number, state, claim.settings, mAP, len(records), time.perf_counter() - start, reason)


def _run(folder: Path, prepared: Prepared, bank: Path | None) -> Run:
    if (folder / "config.json").is_file() and (folder / "partition.json").is_file():
        return Run.open(folder)
    shutil.rmtree(folder, ignore_errors=True)  # of a process that died before its run began
    run = Run.create(folder, prepared.config, bank)
    save_partition(prepared.dataset, prepared.config.data.partition, run.partition)
    return run


def _about(config: RunConfig, prepared: Prepared, bank: Path | None, space: SearchSpace) -> dict[str, Any]:
    return {
        "settings": config.model_dump(mode="json", exclude=ELSEWHERE),
        "space": {key: str(dimension) for key, dimension in space.items()},
        "data": prepared.dataset.fingerprint,
        "partition": partition_hash(prepared.dataset.train),
        "weights": prepared.method.clip.weights_hash,
        "bank": None if bank is None else content_hash(load_bank(bank).bank),
    }
