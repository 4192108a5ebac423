"""The state that clients keep on disk between rounds: a client's optimiser state, and a method's personal parts.

FOLDER/
  start.safetensors                    initial personal parts, if the method has any
  client-0007-round-0009.safetensors   the state of client 7 after 9 rounds of the run
  round-0012.json                      index after 12 rounds: for each client that has trained, the round of its file

Files are never modified after their round, so a checkpoint consists of a small index, without copies. Files that
neither the current state nor a kept checkpoint refers to are deleted. If clients are sites of their own, the server has
the indices and `at-the-sites`, a name by which each site tells this run's files from those of others.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fedmpt.common.errors import FedmptError
from fedmpt.common.files import write_atomically
from fedmpt.common.foreign_json import parse_json, read_bytes
from trainer.backbone.tensor_files import read_checked, save_checked
from trainer.config.sections import FederationConfig
from trainer.errors import TrainerError
from trainer.federation.replies import State
from trainer.methods.federated import FederatedModule

START = "start.safetensors"
ELSEWHERE = "at-the-sites"

PERSONAL, OPTIMISER = "personal/", "optimiser/"
"""Prefixes of tensor names in a client's file."""

_FILE = re.compile(r"^client-(\d+)-round-(\d+)\.safetensors$")
_INDEX = re.compile(r"^round-(\d+)\.json$")
_NAME = re.compile(rb"^[0-9a-f]{32}\Z")
_ROUNDS = TypeAdapter(dict[int, int])


@dataclass(frozen=True)
class ClientState:
    """What a client keeps between rounds.

    Attributes:
        personal: its personal parts, see `FederatedModule.personal_parts`.
        optimiser: tensors by name; empty if the optimiser is reset every round.
    """

    personal: State = field(default_factory=dict)
    optimiser: State = field(default_factory=dict)


def stateful_clients(settings: FederationConfig, method: FederatedModule) -> bool:
    """Whether clients keep state between rounds."""
    return settings.memory != "none" or bool(method.personal)


class ClientMemory:
    """The states of a run's clients on disk, loaded before and saved after a client's training.

    Args:
        folder: of the files; created when the first is written.
        rounds: for each client that has trained, the number of completed rounds at its last training.
    """

    def __init__(self, folder: Path, rounds: dict[int, int] | None = None) -> None:
        self.folder = folder
        self._rounds = dict(rounds or {})

    @classmethod
    def open(cls, folder: Path, rounds: int) -> ClientMemory:
        """The memory at the checkpoint after `rounds` rounds.

        Raises:
            TrainerError: its index is missing or damaged.
        """
        return cls(folder, _read_index(_index(folder, rounds)))

    def clients(self) -> list[int]:
        """The clients that have trained, ascending."""
        return sorted(self._rounds)

    def since(self, client: int) -> int:
        """The number of completed rounds at a client's last training that counts; 0 if it has not trained yet."""
        return self._rounds.get(client, 0)

    def take_up(self, client: int, since: int) -> None:
        """Make the state after so many rounds the client's current one; after 0 it has not trained yet.

        Raises:
            TrainerError: there is no such state here.
        """
        if since and not self._file(client, since).is_file():
            raise TrainerError(f"{self.folder}: nothing is kept here of client {client} after {since} rounds")
        self._rounds = {other: rounds for other, rounds in self._rounds.items() if other != client}
        self._rounds |= {client: since} if since else {}

    @property
    def elsewhere(self) -> str | None:
        """The name of this memory at the clients' own sites, if only the indices are here; None if the states are.

        Raises:
            TrainerError: the file of the name is damaged.
        """
        path = self.folder / ELSEWHERE
        if not path.exists():
            return None
        name = path.read_bytes()
        if not _NAME.match(name):
            raise TrainerError(f"{path}: not the name of a memory at the sites; go on from a copy of the run")
        return name.decode()

    def leave_elsewhere(self) -> None:
        """Have the states at the clients' own sites, under a name of this run's own."""
        if self.elsewhere is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / ELSEWHERE, uuid.uuid4().hex)

    def load(self, client: int) -> ClientState | None:
        """A client's state at the beginning of the current round; None if it has not trained yet.

        States saved in the current round are returned from the next round on, if they count (`commit`).

        Raises:
            TrainerError: a missing or damaged file.
        """
        if client not in self._rounds:
            return None
        tensors = _read(self._file(client, self._rounds[client]))
        return ClientState(_with_prefix(tensors, PERSONAL), _with_prefix(tensors, OPTIMISER))

    def save(self, client: int, rounds: int, state: ClientState) -> None:
        """Write a client's state to disk.

        Args:
            client: its id.
            rounds: the number of rounds including the current one.
            state: returned by `load` from the next round on, if it counts.
        """
        tensors = {f"{PERSONAL}{name}": value for name, value in state.personal.items()}
        tensors |= {f"{OPTIMISER}{name}": value for name, value in state.optimiser.items()}
        _write(self._file(client, rounds), tensors)

    def save_start(self, personal: State) -> None:
        """Write the initial personal parts."""
        _write(self.folder / START, personal)

    def start(self) -> State:
        """The initial personal parts; empty if the run's method has none.

        Raises:
            TrainerError: a damaged file.
        """
        path = self.folder / START
        return _read(path) if path.is_file() else {}

    def commit(self, rounds: int, counted: Collection[int] = ()) -> None:
        """End a round: make the states that count current, and write the index after `rounds` rounds.

        Args:
            rounds: including the current one.
            counted: the clients whose training counts in it.
        """
        self._rounds |= dict.fromkeys(counted, rounds)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(_index(self.folder, rounds), _ROUNDS.dump_json(dict(sorted(self._rounds.items()))) + b"\n")

    def needed(self) -> set[tuple[int, int]]:
        """(client, rounds) of the states to which the current state or an index in the folder refers."""
        indices = [path for path in self._paths() if _INDEX.match(path.name)]
        return {item for each in (self._rounds, *map(_read_index, indices)) for item in each.items()}

    def sweep(self, kept: Collection[int]) -> None:
        """Delete the files that neither the current state nor a kept checkpoint (a number of rounds) refers to."""
        for path in self._paths():
            if (matched := _INDEX.match(path.name)) and int(matched[1]) not in kept:
                path.unlink()
        self.keep_only(self.needed())

    def keep_only(self, needed: Collection[tuple[int, int]], client: int | None = None) -> None:
        """Delete the states of all clients, or of one, but those of these (client, rounds)."""
        for path in self._paths():
            matched = _FILE.match(path.name)
            if matched and client in (None, int(matched[1])) and (int(matched[1]), int(matched[2])) not in needed:
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _file(self, client: int, rounds: int) -> Path:
        return self.folder / f"client-{client:04d}-round-{rounds:04d}.safetensors"


def _index(folder: Path, rounds: int) -> Path:
    return folder / f"round-{rounds:04d}.json"


def _read_index(path: Path) -> dict[int, int]:
    try:
        parse_json(content := read_bytes(path))
        return _ROUNDS.validate_json(content)
    except (FedmptError, ValidationError) as error:
        raise TrainerError(f"{path}: which client kept what cannot be read; go on from another checkpoint") from error


def _read(path: Path) -> State:
    try:
        return read_checked(path, path.name)
    except TrainerError as error:
        raise TrainerError(
            f"{path}: what a client kept cannot be read ({error}); go on from another checkpoint"
        ) from error


def _write(path: Path, tensors: State) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checked(path, tensors, path.name)


def _with_prefix(tensors: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
