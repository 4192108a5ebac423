"""The tries of a study: in which order, by whom, with which settings.

FOLDER/
  .lock           held while a try is taken or ended
  study.json      settings, space and data of all tries
  journal.log     Optuna's storage. A file of lines, not a database: safe on a folder that several machines share
  tries/0003/     the run of try 3
  tries/0003.lock held by the process that works on it; free if that process died
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from fedmpt.common.files import locked, write_atomically
from trainer.config.space import Choice, Dimension, SearchSpace
from trainer.errors import TrainerError
from trainer.seeding import derive

RANDOM_TRIES = 10
"""Tries before those that TPE (Bergstra et al., NeurIPS 2011) draws from what was found: drawn at random."""
COMPLETE_BEFORE_PRUNING = 3
"""Tries that have to be complete before one is pruned."""


@dataclass(frozen=True)
class Try:
    """A finished try.

    Attributes:
        number: from 0, the settings as they were given.
        state: "complete", "pruned" or "failed".
        settings: what was changed, by dotted key.
        mAP: in per cent, on validation images after its last round; None if it failed.
        rounds: that were trained.
        seconds: that they took.
        reason: why it failed.
    """

    number: int
    state: str
    settings: dict[str, Any]
    mAP: float | None
    rounds: int
    seconds: float
    reason: str = ""

    def summary(self) -> str:
        """The try in a line."""
        settings = ", ".join(f"{key} {value}" for key, value in self.settings.items()) or "settings as given"
        figure = self.reason if self.mAP is None else f"validation mAP {self.mAP:.2f}"
        return f"{settings}: {figure} ({self.state}, {self.rounds} rounds, {self.seconds:.0f} s)"


@dataclass(frozen=True)
class Claim:
    """A try that this process works on.

    Attributes:
        number: of the try.
        trial: Optuna's.
        settings: what is changed in it.
        lock: held until it ends.
    """

    number: int
    trial: optuna.Trial
    settings: dict[str, Any]
    lock: FileLock


class Study:
    """The study of a folder, created if it is not there.

    Args:
        folder: of the study.
        tries: in all.
        space: what is tuned.
        defaults: the values of the untuned settings, by dotted key: try 0.
        seed: of the tries' settings.
        rounds: of a try.
        about: settings and data, which must be the same for all tries.

    Raises:
        TrainerError: the folder has tries of other settings or data.
    """

    def __init__(
        self,
        folder: Path,
        tries: int,
        space: SearchSpace,
        defaults: dict[str, Any],
        seed: int,
        rounds: int,
        about: dict[str, Any],
    ) -> None:
        self.folder, self.tries, self.space, self.defaults, self.seed = folder, tries, space, defaults, seed
        (folder / "tries").mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with locked(folder / ".lock"):
            _check(folder / "study.json", about)
            # A try is pruned if it is below the median of the complete ones at the same round. Successive halving would
            # rank by early rounds, in which low learning rates are always behind.
            pruner = optuna.pruners.MedianPruner(COMPLETE_BEFORE_PRUNING, n_warmup_steps=rounds // 3)
            storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
            self._study = optuna.create_study(
                storage=storage, study_name="tune", direction="maximize", pruner=pruner, load_if_exists=True
            )

    def run_folder(self, number: int) -> Path:
        """The folder of a try's run."""
        return self.folder / "tries" / f"{number:04d}"

    def claim(self) -> Claim | None:
        """Take the first try that nobody has done or works on; None if there is none.

        A try whose process died is taken up again with the same settings.
        """
        with locked(self.folder / ".lock"):
            self._drop_waiting()
            taken = {t.user_attrs["try"] for t in self._trials() if t.state != TrialState.FAIL and not self._died(t)}
            number = next((number for number in range(self.tries) if number not in taken), None)
            if number is None:
                return None
            lock = FileLock(f"{self.run_folder(number)}.lock")
            lock.acquire(timeout=0)
            before = [t.params for t in self._trials() if t.user_attrs["try"] == number]
            self._study.enqueue_trial(before[-1] if before else self._start(number), user_attrs={"try": number})
            trial = self._study.ask()
            settings = self._settings(number, trial)
            trial.set_user_attr("settings", settings)
            return Claim(number, trial, settings, lock)

    def end(self, claim: Claim, done: Try) -> None:
        """Record a finished try."""
        with locked(self.folder / ".lock"):
            record = {"rounds": done.rounds, "seconds": done.seconds, "state": done.state, "reason": done.reason}
            for key, value in record.items():
                claim.trial.set_user_attr(key, value)
            if done.mAP is not None:
                claim.trial.set_user_attr("mAP", done.mAP)
            if done.state == "complete":
                self._study.tell(claim.trial, done.mAP)
            else:
                self._study.tell(claim.trial, state=TrialState.PRUNED)
        claim.lock.release()

    def finished(self) -> list[Try]:
        """The finished tries in order."""
        found = []
        for trial in self._trials():
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                kept = trial.user_attrs
                parts = (kept["rounds"], kept["seconds"], kept["reason"])
                found.append(Try(kept["try"], kept["state"], kept["settings"], kept.get("mAP"), *parts))
        return sorted(found, key=lambda one: one.number)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _drop_waiting(self) -> None:
        """End what a process left behind that died while it took a try."""
        while any(trial.state == TrialState.WAITING for trial in self._trials()):
            self._study.tell(self._study.ask(), state=TrialState.FAIL)

    def _died(self, trial: FrozenTrial) -> bool:
        """Whether the process that ran a try is dead; if so, the try is open again."""
        if trial.state != TrialState.RUNNING:
            return False
        lock = FileLock(f"{self.run_folder(trial.user_attrs['try'])}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        lock.release()
        self._study.tell(trial.number, state=TrialState.FAIL)
        return True

    def _start(self, number: int) -> dict[str, Any]:
        """The given settings for try 0, as far as they are in the space."""
        if number:
            return {}
        return {key: value for key, value in self.defaults.items() if self.space[key].holds(value)}

    def _settings(self, number: int, trial: optuna.Trial) -> dict[str, Any]:
        # Seeded by the try's number, so that it doesn't matter which process draws it.
        self._study.sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIES, seed=derive(self.seed, "try", number) % 2**32, multivariate=False
        )
        known = self._start(number)
        drawn = {k: _suggest(trial, k, d) for k, d in self.space.items() if number or k in known}
        return drawn if number else {}


def _suggest(trial: optuna.Trial, key: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(key, dimension.options)
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return trial.suggest_int(key, dimension.low, dimension.high, log=dimension.log)
    value = trial.suggest_float(key, dimension.low, dimension.high, log=dimension.log)
    return float(f"{value:.3g}")


def _check(path: Path, about: dict[str, Any]) -> None:
    text = json.dumps(about, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if not path.exists():
        write_atomically(path, text)
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise TrainerError(f"{path}: damaged ({error}); choose another folder") from error
    changed = sorted(key for key in about.keys() | before.keys() if about.get(key) != before.get(key))
    if changed:
        raise TrainerError(
            f"{path.parent}: its tries have other {', '.join(changed)} ({path.name}); choose another folder, or repeat "
            "the command that began it"
        )
