"""A run folder: what was asked, what happened, what was learned.

runs/NAME/
  config.json        every setting, resolved
  environment.json   versions, commit of the code, device
  identity.json      hashes of bank, data, partition and backbone
  bank.json          a copy of the bank that was used
  partition.json     which client owns which training image
  metrics.jsonl      a line for each round
  checkpoints/       round-0012.safetensors: the exchanged parameters after 12 rounds
  clients/           what clients keep from round to round, where they do (trainer/federation/memory.py)
  evaluation.json    figures on the test split
  events/            TensorBoard
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from fedmpt.common.files import write_atomically
from trainer.errors import TrainerError
from trainer.run.environment import environment
from trainer.run_config import RunConfig

_CHECKPOINT = re.compile(r"^round-(\d+)\.safetensors$")


class Run:
    """A run folder that exists."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: RunConfig, bank: Path | None) -> Run:
        """Make the folder with its configuration, its environment and a copy of the bank.

        Raises:
            TrainerError: where the folder holds something already, or the bank cannot be read.
        """
        if folder.exists() and any(folder.iterdir()):
            raise TrainerError(f"{folder}: there is a run already; choose another --out, or --resume {folder}")
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        if bank is not None:
            shutil.copyfile(bank, folder / "bank.json")
        run.write_json("environment.json", environment(config.device))
        # Last: a folder without config.json is no run, so one that was cut off here can be told from one that began.
        run.write_json("config.json", config.model_dump(mode="json"))
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """A run that was made before.

        Raises:
            TrainerError: where the folder is no run.
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
        """The copy of the bank, if the run has one."""
        path = self.folder / "bank.json"
        return path if path.is_file() else None

    @property
    def partition(self) -> Path:
        """Where it stands which client owns which training image."""
        return self.folder / "partition.json"

    @property
    def clients(self) -> Path:
        """The folder of what clients keep; it is there where they keep something."""
        return self.folder / "clients"

    def config(self) -> RunConfig:
        """The run's settings; a partition that came from a file is the run's own copy of it.

        Raises:
            TrainerError: where they are unreadable.
        """
        try:
            read = RunConfig.model_validate_json((self.folder / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainerError(f"{self.folder / 'config.json'}: cannot be read ({error})") from error
        if read.data.partition.file is None or not self.partition.is_file():
            return read
        own = read.data.partition.model_copy(update={"file": self.partition})
        return read.model_copy(update={"data": read.data.model_copy(update={"partition": own})})

    def save_checkpoint(self, rounds: int, state: dict[str, Tensor]) -> Path:
        """Write the state after so many rounds, atomically."""
        from safetensors.torch import save

        path = self.folder / "checkpoints" / f"round-{rounds:04d}.safetensors"
        write_atomically(path, save({k: v.contiguous() for k, v in state.items()}, metadata={"rounds": str(rounds)}))
        return path

    def checkpoints(self) -> dict[int, Path]:
        """Finished checkpoints by their number of rounds, ascending."""
        found = {}
        for path in sorted((self.folder / "checkpoints").glob("round-*.safetensors")):
            matched = _CHECKPOINT.match(path.name)
            if matched:
                found[int(matched[1])] = path
        return found

    def load_checkpoint(self, which: str = "last") -> tuple[int, dict[str, Tensor]]:
        """A checkpoint's rounds and state.

        Args:
            which: "last", "best" (highest validation mAP) or a number of rounds.

        Raises:
            TrainerError: where there is none, or it is unreadable.
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
        """Rounds of the highest validation mAP, the first of equals; 0 before the first round."""
        scored = [(record["validation"]["mAP"], -record["rounds"]) for record in self.metrics()]
        return -max(scored)[1] if scored else 0

    def metrics(self) -> list[dict[str, Any]]:
        """The rounds' records in order. A last line that was cut off by a crash is left out."""
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
        """Add a round's record, on the disk when this returns."""
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, rounds: int) -> None:
        """Forget records and checkpoints of rounds behind a checkpoint, before the run goes on from there."""
        for later, path in self.checkpoints().items():
            if later > rounds:
                path.unlink()
        kept = [record for record in self.metrics() if record["rounds"] <= rounds]
        text = "".join(json.dumps(record, sort_keys=True) + "\n" for record in kept)
        write_atomically(self.folder / "metrics.jsonl", text.encode())

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file into the folder, atomically."""
        path = self.folder / name
        write_atomically(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        return path

    def write_text(self, name: str, content: str) -> Path:
        """Write a text file into the folder, atomically."""
        path = self.folder / name
        write_atomically(path, content.encode())
        return path

    def identity(self) -> dict[str, Any] | None:
        """What the run rests on; None where it has not begun."""
        path = self.folder / "identity.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def evaluation(self) -> dict[str, Any]:
        """The figures on the test split.

        Raises:
            TrainerError: where the run was not evaluated.
        """
        path = self.folder / "evaluation.json"
        if not path.is_file():
            raise TrainerError(f"{self.folder}: not evaluated yet; run: fedmpt evaluate {self.folder}")
        return dict(json.loads(path.read_text(encoding="utf-8")))
