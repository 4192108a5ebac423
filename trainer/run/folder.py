"""A run folder.

runs/NAME/
  .lock              held by the process that is at work in the folder
  config.json        the resolved settings
  environment.json   package versions, commit of the code, device
  identity.json      hashes of bank, data, partition and backbone
  bank.json          a copy of the bank
  partition.json     the training images of each client
  metrics.jsonl      one line per round
  checkpoints/       round-0012.safetensors: the exchanged state after 12 rounds
  clients/           the state of stateful clients (trainer/federation/memory.py)
  privacy.json       how often each client was asked for its update, if updates are protected (trainer/run/privacy.py)
  evaluation.json    metrics on the test split
  sites.json         what the sites of a federation over several machines counted on their own test images
  yardsticks.json    what trivial predictions, zero-shot CLIP and a linear probe reach there
  events/            TensorBoard
  tracking.json      ids of the run by tracker, if it is tracked (trainer/tracking/)
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from fedmpt.common.errors import FedmptError
from fedmpt.common.files import naming, write_atomically
from trainer.errors import RunFailed, TrainerError
from trainer.run.environment import environment
from trainer.run.metric_records import METRICS_VERSION, SitesRecord
from trainer.run.records import (
    EnvironmentRecord,
    EvaluationRecord,
    IdentityRecord,
    YardsticksRecord,
    read_lines,
    read_record,
)

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.run_config import RunConfig

_CHECKPOINT = re.compile(r"^round-(\d+)\.safetensors$")


class Run:
    """An existing run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: RunConfig, bank: Path | None) -> Run:
        """Create a run folder with the settings, the environment and a copy of the bank.

        Raises:
            TrainerError: the folder is not empty, or the bank cannot be read.
        """
        taken = f"{folder}: there is a run already; choose another --out, or --resume {folder}"
        if folder.exists() and (not folder.is_dir() or any(path.name != ".lock" for path in folder.iterdir())):
            raise TrainerError(taken)
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        with run.working():
            if any(path.name != ".lock" for path in folder.iterdir()):  # a process that was faster
                raise TrainerError(taken)
            (folder / "checkpoints").mkdir()
            if bank is not None:
                with naming(folder / "bank.json"):
                    shutil.copyfile(bank, folder / "bank.json")
            run.write_json("environment.json", environment(config.device))
            # Written last: a folder without config.json is not a run, so an interruption here leaves no half-made run.
            run.write_json("config.json", config.model_dump(mode="json"))
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Open an existing run.

        Raises:
            TrainerError: the folder is not a run.
        """
        if not (folder / "config.json").is_file():
            raise TrainerError(f"{folder}: there is no run (no config.json)")
        return cls(folder)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def bank(self) -> Path | None:
        """The run's copy of the bank, if it has one."""
        path = self.folder / "bank.json"
        return path if path.is_file() else None

    @property
    def partition(self) -> Path:
        """The file of the partition."""
        return self.folder / "partition.json"

    @property
    def clients(self) -> Path:
        """The folder of client states; it exists only if clients are stateful."""
        return self.folder / "clients"

    def config(self) -> RunConfig:
        """The run's settings. A partition file in the settings is replaced by the run's own copy.

        Raises:
            TrainerError: the settings cannot be read.
        """
        # Imported here: the methods' settings import torch, which reading a run's metrics does not need.
        from trainer.run_config import RunConfig

        _, read = read_record(self.folder / "config.json", RunConfig)
        if read.data.partition.file is None or not self.partition.is_file():
            return read
        own = read.data.partition.model_copy(update={"file": self.partition})
        return read.model_copy(update={"data": read.data.model_copy(update={"partition": own})})

    def save_checkpoint(self, rounds: int, state: dict[str, Tensor]) -> Path:
        """Atomically write the exchanged state after `rounds` rounds."""
        from trainer.backbone.tensor_files import save_checked

        path = self.folder / "checkpoints" / f"round-{rounds:04d}.safetensors"
        save_checked(path, state, f"round {rounds}")
        return path

    def checkpoints(self) -> dict[int, Path]:
        """The checkpoints by number of rounds, ascending."""
        found = {}
        for path in sorted((self.folder / "checkpoints").glob("round-*.safetensors")):
            matched = _CHECKPOINT.match(path.name)
            if matched:
                found[int(matched[1])] = path
        return found

    def load_checkpoint(self, which: str = "last") -> tuple[int, dict[str, Tensor]]:
        """A checkpoint's number of rounds, and its state.

        Args:
            which: "last", "best" (highest validation mAP) or a number of rounds.

        Raises:
            TrainerError: there is no such checkpoint, or it is unreadable or damaged.
        """
        from trainer.backbone.tensor_files import read_checked

        there = self.checkpoints()
        if not there:
            raise TrainerError(f"{self.folder}: the run has no checkpoint yet; go on with --resume {self.folder}")
        rounds = self._number(which, there)
        try:
            return rounds, read_checked(there[rounds], f"round {rounds}")
        except TrainerError as error:
            raise TrainerError(f"{there[rounds]}: unreadable checkpoint ({error}); delete it and resume") from error

    def _number(self, which: str, there: dict[int, Path]) -> int:
        if which == "last":
            return max(there)
        if which == "best":
            return self.best() if self.best() in there else max(there)
        if which.isdigit() and int(which) in there:
            return int(which)
        listed = ", ".join(str(n) for n in there)
        raise TrainerError(f"{self.folder}: no checkpoint '{which}'; there are last, best, {listed}")

    def best(self) -> int:
        """The number of rounds with the highest validation mAP, the earliest if tied; 0 before the first round.

        The last round if validation images have no positive label, so that there is no mAP.
        """
        records = self.metrics()
        scored = [(r["validation"]["mAP"], -r["rounds"]) for r in records if r["validation"]["mAP"] is not None]
        return -max(scored)[1] if scored else max((record["rounds"] for record in records), default=0)

    def metrics(self) -> list[dict[str, Any]]:
        """The records of all rounds, without a last line that a crash has truncated.

        Raises:
            FedmptError: a line is damaged.
        """
        path = self.folder / "metrics.jsonl"
        return list(read_lines(path)) if path.exists() else []

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append a round's record and flush it to disk."""
        path = self.folder / "metrics.jsonl"
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, sort_keys=True, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, rounds: int) -> None:
        """Delete records and checkpoints after a number of rounds, before the run resumes from there."""
        for later, path in self.checkpoints().items():
            if later > rounds:
                path.unlink()
        kept = [record for record in self.metrics() if record["rounds"] <= rounds]
        text = "".join(json.dumps(record, sort_keys=True) + "\n" for record in kept)
        write_atomically(self.folder / "metrics.jsonl", text.encode())

    def write_json(self, name: str, content: Any) -> Path:
        """Atomically write a JSON file into the folder."""
        path = self.folder / name
        write_atomically(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        return path

    def write_text(self, name: str, content: str) -> Path:
        """Atomically write a text file into the folder."""
        path = self.folder / name
        write_atomically(path, content.encode())
        return path

    def identity(self) -> dict[str, Any] | None:
        """The content of identity.json; None if training has not started.

        Raises:
            FedmptError: the file is damaged.
        """
        path = self.folder / "identity.json"
        return read_record(path, IdentityRecord)[0] if path.exists() else None

    def recorded_identity(self) -> dict[str, Any]:
        """The content of identity.json.

        Raises:
            TrainerError: the run has not begun, or the file was lost.
        """
        recorded = self.identity()
        if recorded is None:
            raise TrainerError(
                f"{self.folder}: no identity.json: the run has not begun; go on with --resume {self.folder}"
            )
        return recorded

    def environment(self) -> dict[str, Any]:
        """The content of environment.json.

        Raises:
            FedmptError: the file is missing or damaged.
        """
        content: dict[str, Any] = read_record(self.folder / "environment.json", EnvironmentRecord)[0]
        return content

    def evaluated_rounds(self) -> int | None:
        """The checkpoint that was evaluated last; None if none was, or its record is damaged."""
        try:
            return int(self.evaluated_model()["rounds"])
        except FedmptError:
            return None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep other processes from writing into the run. The lock of a process that died is free.

        Raises:
            RunFailed: another process is at work in the folder.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFailed(f"{self.folder}: another process is at work in this run; wait until it ends") from error
        try:
            yield
        finally:
            lock.release()

    def evaluation(self) -> dict[str, Any]:
        """The content of evaluation.json.

        Raises:
            FedmptError: the run has not been evaluated, or with metrics of another definition; or the file is damaged.
        """
        content = self.evaluated_model()
        if content.get("metrics_version", 1) != METRICS_VERSION:
            raise TrainerError(
                f"{self.folder}: its figures are of another version of fedmpt, which defines metrics differently; "
                f"run: fedmpt evaluate {self.folder}"
            )
        return content

    def evaluated_model(self) -> dict[str, Any]:
        """As `evaluation`, but with metrics of any definition: for what the model is, not how good it is."""
        path = self.folder / "evaluation.json"
        if not path.exists():
            raise TrainerError(f"{self.folder}: not evaluated yet; run: fedmpt evaluate {self.folder}")
        content: dict[str, Any] = read_record(path, EvaluationRecord)[0]
        return content

    def sites(self) -> dict[str, Any] | None:
        """The content of sites.json; None if there is none, or it is of another model than the evaluated one.

        Raises:
            FedmptError: a file is damaged, or the run is not evaluated.
        """
        path = self.folder / "sites.json"
        if not path.exists():
            return None
        content: dict[str, Any] = read_record(path, SitesRecord)[0]
        evaluated = self.evaluated_model()
        of_it = (content["rounds"], content["threshold"]) == (evaluated["rounds"], evaluated["test"]["threshold"])
        return content if of_it else None

    def yardsticks(self) -> dict[str, Any] | None:
        """The content of yardsticks.json; None if they were not computed.

        Raises:
            FedmptError: the file is damaged.
        """
        path = self.folder / "yardsticks.json"
        return read_record(path, YardsticksRecord)[0] if path.exists() else None
