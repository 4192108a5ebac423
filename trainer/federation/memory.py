"""What clients keep from round to round: a client's optimiser, and the personal parts of a method. It is on the disk.

FOLDER/
  start.safetensors                    the personal parts of clients without a past, where a method has some
  client-0007-round-0009.safetensors   what client 7 kept after 9 rounds of the run
  round-0012.json                      as of 12 rounds: for each client with a past, the round of its last file

A file is never changed once its round is over, so a checkpoint needs the small index alone, and no copies. What neither
a checkpoint that is kept nor the present needs is swept.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fedmpt.common.files import write_atomically
from trainer.config.sections import FederationConfig
from trainer.errors import TrainerError
from trainer.federation.replies import State
from trainer.methods.federated import FederatedModule

START = "start.safetensors"

PERSONAL, OPTIMISER = "personal/", "optimiser/"
"""Before the names of tensors in a client's file."""

_FILE = re.compile(r"^client-(\d+)-round-(\d+)\.safetensors$")
_INDEX = re.compile(r"^round-(\d+)\.json$")
_ROUNDS = TypeAdapter(dict[int, int])


@dataclass(frozen=True)
class Memory:
    """What one client keeps.

    Attributes:
        personal: its personal parts, as `FederatedModule.personal_parts` gives them.
        optimiser: tensors by name; empty where optimisers start anew.
    """

    personal: State = field(default_factory=dict)
    optimiser: State = field(default_factory=dict)


def remembers(settings: FederationConfig, method: FederatedModule) -> bool:
    """Whether clients keep anything."""
    return settings.memory != "none" or bool(method.personal)


class ClientMemory:
    """The memories of a run's clients, read when a client trains and written when it has; none stays in memory.

    Args:
        folder: where they are; it is made with the first file.
        rounds: for each client with a past, how many rounds of the run were over when it last trained.
    """

    def __init__(self, folder: Path, rounds: dict[int, int] | None = None) -> None:
        self.folder = folder
        self._rounds = dict(rounds or {})
        self._of_this_round: dict[int, int] = {}

    @classmethod
    def open(cls, folder: Path, rounds: int) -> ClientMemory:
        """As it was after so many rounds, at which a checkpoint was kept.

        Raises:
            TrainerError: where its index is missing or damaged.
        """
        return cls(folder, _read_index(_index(folder, rounds)))

    def clients(self) -> list[int]:
        """Those with a past, ascending."""
        return sorted(self._rounds)

    def load(self, client: int) -> Memory | None:
        """What a client kept when the present round began; None where it has no past.

        It is the same however often the client trains in this round.

        Raises:
            TrainerError: a file that is missing or damaged.
        """
        if client not in self._rounds:
            return None
        tensors = _read(self._file(client, self._rounds[client]))
        return Memory(_below(tensors, PERSONAL), _below(tensors, OPTIMISER))

    def save(self, client: int, rounds: int, memory: Memory) -> None:
        """Keep what a client has, on the disk when this returns.

        Args:
            client: its id.
            rounds: how many rounds are over with the present one.
            memory: from the next round on it is what `load` gives.
        """
        tensors = {f"{PERSONAL}{name}": value for name, value in memory.personal.items()}
        tensors |= {f"{OPTIMISER}{name}": value for name, value in memory.optimiser.items()}
        _write(self._file(client, rounds), tensors)
        self._of_this_round[client] = rounds

    def save_start(self, personal: State) -> None:
        """Keep the personal parts of clients without a past, and of the global model."""
        _write(self.folder / START, personal)

    def start(self) -> State:
        """The personal parts of clients without a past; empty where the run's method has none.

        Raises:
            TrainerError: a damaged file.
        """
        path = self.folder / START
        return _read(path) if path.is_file() else {}

    def commit(self, rounds: int) -> None:
        """The round is over, and so many with it: write the index that a checkpoint of it needs."""
        self._rounds |= self._of_this_round
        self._of_this_round = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(_index(self.folder, rounds), _ROUNDS.dump_json(dict(sorted(self._rounds.items()))) + b"\n")

    def sweep(self, kept: Collection[int]) -> None:
        """Remove what neither the present nor any of the kept checkpoints (numbers of rounds) needs."""
        needed = set(self._rounds.items())
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if matched := _INDEX.match(path.name):
                if int(matched[1]) in kept:
                    needed |= _read_index(path).items()
                else:
                    path.unlink()
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if (matched := _FILE.match(path.name)) and (int(matched[1]), int(matched[2])) not in needed:
                path.unlink()

    def _file(self, client: int, rounds: int) -> Path:
        return self.folder / f"client-{client:04d}-round-{rounds:04d}.safetensors"


def _index(folder: Path, rounds: int) -> Path:
    return folder / f"round-{rounds:04d}.json"


def _read_index(path: Path) -> dict[int, int]:
    try:
        return _ROUNDS.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise TrainerError(f"{path}: which client kept what cannot be read; go on from another checkpoint") from error


def _read(path: Path) -> State:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainerError(
            f"{path}: what a client kept cannot be read ({error}); go on from another checkpoint"
        ) from error


def _write(path: Path, tensors: State) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save({name: value.contiguous() for name, value in tensors.items()}))


def _below(tensors: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
