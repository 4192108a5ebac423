"""Client states on disk: written once, loaded again, deleted when no checkpoint refers to them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import TrainerError
from trainer.federation.memory import ClientMemory, ClientState


def kept(value: float) -> ClientState:
    return ClientState({"shift": torch.full((2,), value)}, {"w/step": torch.tensor(value)})


def value_of(memory: ClientMemory, client: int) -> float | None:
    found = memory.load(client)
    if found is None:
        return None
    assert found.personal["shift"].tolist() == [found.optimiser["w/step"].item()] * 2
    return float(found.optimiser["w/step"])


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_state_is_loaded_from_the_next_round_on(tmp_path: Path) -> None:
    """Asked again in the same round, a client begins as it did the first time."""
    memory = ClientMemory(tmp_path / "clients")
    assert memory.load(7) is None
    memory.save(7, 1, kept(1.0))
    assert memory.load(7) is None
    memory.commit(1, [7])
    assert value_of(memory, 7) == 1.0
    memory.save(7, 2, kept(2.0))
    assert value_of(memory, 7) == 1.0
    memory.commit(2, [7])
    assert value_of(memory, 7) == 2.0
    assert value_of(ClientMemory.open(memory.folder, 1), 7) == 1.0
    assert value_of(ClientMemory.open(memory.folder, 2), 7) == 2.0
    assert memory.clients() == [7]


@settings(max_examples=40, deadline=None)
@given(
    rounds=st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=8),
    every=st.integers(1, 4),
    back=st.integers(0, 8),
)
def test_every_kept_checkpoint_has_its_client_states_and_the_disk_no_others(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[set[int]], every: int, back: int
) -> None:
    """Whoever trained in which rounds, and wherever the run goes on."""
    folder = tmp_path_factory.mktemp("memory") / "clients"
    memory = ClientMemory(folder)
    memory.commit(0)
    expected: dict[int, dict[int, float]] = {0: {}}
    checkpoints = {0}
    for done, clients in enumerate(rounds, start=1):
        for client in clients:
            memory.save(client, done, kept(float(done)))
        memory.commit(done, clients)
        expected[done] = {**expected[done - 1], **dict.fromkeys(clients, float(done))}
        checkpoints |= {done} if done % every == 0 else set()
        memory.sweep(checkpoints)
        assert {client: value_of(memory, client) for client in range(5)} == {
            client: expected[done].get(client) for client in range(5)
        }
    start = max(c for c in checkpoints if c <= back)
    checkpoints = {c for c in checkpoints if c <= start}
    reopened = ClientMemory.open(folder, start)
    reopened.sweep(checkpoints)
    needed = {(client, int(done)) for c in checkpoints for client, done in expected[c].items()}
    assert files(folder) == sorted(
        [f"round-{c:04d}.json" for c in checkpoints]
        + [f"client-{client:04d}-round-{done:04d}.safetensors" for client, done in needed]
    )
    for checkpoint in checkpoints:
        opened = ClientMemory.open(folder, checkpoint)
        assert {client: value_of(opened, client) for client in opened.clients()} == expected[checkpoint]


def test_the_start_is_kept_beside_the_clients(tmp_path: Path) -> None:
    memory = ClientMemory(tmp_path)
    assert memory.start() == {}
    memory.save_start({"shift": torch.ones(2)})
    memory.commit(0)
    memory.sweep([0])
    assert ClientMemory.open(tmp_path, 0).start()["shift"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("text", ["[]", '{"7": "x"}', "{", '{"a": 1}'])
def test_a_damaged_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "round-0003.json").write_text(text)
    with pytest.raises(TrainerError, match=r"round-0003\.json: .* cannot be read; go on from another checkpoint"):
        ClientMemory.open(tmp_path, 3)
    with pytest.raises(TrainerError, match=r"round-0004\.json"):
        ClientMemory.open(tmp_path, 4)


def test_a_missing_truncated_or_pickled_file_is_named(tmp_path: Path) -> None:
    ran: list[int] = []

    class Trap:
        def __reduce__(self) -> Any:
            return ran.append, (1,)

    memory = ClientMemory(tmp_path)
    memory.save(7, 1, kept(1.0))
    memory.commit(1, [7])
    path = tmp_path / "client-0007-round-0001.safetensors"
    assert json.loads((tmp_path / "round-0001.json").read_text()) == {"7": 1}
    for content in (path.read_bytes()[:-1], pickle.dumps(Trap())):
        path.write_bytes(content)
        with pytest.raises(TrainerError, match=r"client-0007-round-0001\.safetensors: .*another checkpoint"):
            memory.load(7)
    path.unlink()
    with pytest.raises(TrainerError, match=r"client-0007-round-0001\.safetensors"):
        memory.load(7)
    assert ran == []
