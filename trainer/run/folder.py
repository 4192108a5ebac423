"""A run folder.

runs/NAME/
  config.json        the resolved settings
  environment.json   package versions, commit of the code, device
  identity.json      hashes of bank, data, partition and backbone
  bank.json          a copy of the bank
  partition.json     the training images of each client
  metrics.jsonl      one line per round
  checkpoints/       round-0012.safetensors: the exchanged state after 12 rounds
  clients/           the state of stateful clients (trainer/federation/memory.py)
  evaluation.json    metrics on the test split
  events/            TensorBoard
  tracking.json      ids of the run by tracker, if it is tracked (trainer/tracking/)
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmpt.common.files import write_atomically
from trainer.errors import TrainerError
from trainer.run.environment import environment

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
        if folder.exists() and any(folder.iterdir()):
            raise TrainerError(f"{folder}: there is a run already; choose another --out, or --resume {folder}")
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        if bank is not None:
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

        try:
            read = RunConfig.model_validate_json((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainerError(f"{self.folder / 'config.json'}: cannot be read ({error})") from error
        if read.data.partition.file is None or not self.partition.is_file():
            return read
        own = read.data.partition.model_copy(update={"file": self.partition})
        return read.model_copy(update={"data": read.data.model_copy(update={"partition": own})})

    def save_checkpoint(self, rounds: int, state: dict[str, Tensor]) -> Path:
        """Atomically write the exchanged state after `rounds` rounds."""
        from safetensors.torch import save

        path = self.folder / "checkpoints" / f"round-{rounds:04d}.safetensors"
        write_atomically(path, save({k: v.contiguous() for k, v in state.items()}, metadata={"rounds": str(rounds)}))
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
            TrainerError: there is no such checkpoint, or it cannot be read.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        there = self.checkpoints()
        if not there:
            raise TrainerError(f"{self.folder}: the run has no checkpoint yet; go on with --resume {self.folder}")
        rounds = self._number(which, there)
        try:
            return rounds, load_file(there[rounds])
        except (OSError, SafetensorError) as error:
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
        """The number of rounds with the highest validation mAP, the earliest if tied; 0 before the first round."""
        scored = [(record["validation"]["mAP"], -record["rounds"]) for record in self.metrics()]
        return -max(scored)[1] if scored else 0

    def metrics(self) -> list[dict[str, Any]]:
        """The records of all rounds, without a last line that a crash has truncated."""
        path = self.folder / "metrics.jsonl"
        if not path.is_file():
            return []
        records = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Append a round's record and flush it to disk."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, sort_keys=True) + "\n")
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
        """The content of identity.json; None if training has not started."""
        path = self.folder / "identity.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def evaluation(self) -> dict[str, Any]:
        """The content of evaluation.json.

        Raises:
            TrainerError: the run has not been evaluated.
        """
        path = self.folder / "evaluation.json"
        if not path.is_file():
            raise TrainerError(f"{self.folder}: not evaluated yet; run: fedmpt evaluate {self.folder}")
        return dict(json.loads(path.read_text(encoding="utf-8")))
