"""Rounds and aggregation, without a model."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.shared import shared
from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.errors import RunFailed
from trainer.federation.aggregation import Reply, State, average
from trainer.federation.rounds import RoundContext, draw_clients, learning_rate, run_round
from trainer.seeding import derive, numpy_generator


def reply(client: int, value: float, examples: int = 1) -> Reply:
    return Reply(client, {"w": torch.full((2,), value)}, examples, loss=value)


def test_fedavg_is_the_published_programs() -> None:
    tensors = load_file(shared("fixtures/aggregation.safetensors"))
    for seed in range(5):
        clients = tensors[f"s{seed}.clients"]
        merged = average([Reply(i, {"ctx": c}, 7 + i, 0.0) for i, c in enumerate(clients)], "uniform")
        torch.testing.assert_close(merged["ctx"], tensors[f"s{seed}.fedavg"], atol=1e-7, rtol=1e-6)


def test_weights_by_hand() -> None:
    """1 image of value 0 and 3 of value 4: the mean is 3 by images and 2 by clients."""
    replies = [reply(0, 0.0, 1), reply(1, 4.0, 3)]
    assert average(replies, "examples")["w"].tolist() == [3.0, 3.0]
    assert average(replies, "uniform")["w"].tolist() == [2.0, 2.0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(5)))
def test_order_of_arrival_changes_no_bit(seed: int, order: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    replies = [Reply(i, {"w": torch.randn(50, generator=generator)}, i + 1, 0.0) for i in range(5)]
    expected = average(replies, "examples")["w"]
    assert torch.equal(average([replies[i] for i in order], "examples")["w"], expected)


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([], "no client replied"),
        ([reply(3, float("nan"))], r"client 3 sent a w that is not finite"),
        ([reply(0, 1.0), Reply(1, {"w": torch.zeros(3)}, 1, 0.0)], "client 1 sent other parameters"),
        ([reply(0, 1.0, examples=0)], "no images"),
    ],
)
def test_bad_replies_are_named(replies: list[Reply], said: str) -> None:
    with pytest.raises(RunFailed, match=said):
        average(replies, "examples")


@settings(max_examples=50, deadline=None)
@given(clients=st.integers(1, 200), share=st.floats(0.01, 1.0), round_=st.integers(0, 50))
def test_drawn_clients(clients: int, share: float, round_: int) -> None:
    """Distinct, ascending, about the asked share, the same again for the same round."""
    context = RoundContext(round_, 60)
    drawn = draw_clients(clients, share, 5, context)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == min(clients, max(1, round(share * clients)))
    assert drawn == draw_clients(clients, share, 5, context)


def test_rounds_draw_different_clients() -> None:
    drawn = {tuple(draw_clients(100, 0.1, 0, RoundContext(r, 10))) for r in range(10)}
    assert len(drawn) == 10


def test_cosine_by_hand() -> None:
    """Half a cosine over four rounds: 1, (1 + 1/√2)/2, 1/2, (1 - 1/√2)/2."""
    settings_ = OptimiserConfig(learning_rate=1.0)
    got = [learning_rate(settings_, RoundContext(r, 4)) for r in range(4)]
    assert got == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


def test_schedules_are_the_published_programs() -> None:
    """Cosine a round late; warm-up and floor of both parameter groups of RAM."""
    expected = json.loads(shared("fixtures/lr_schedules.json").read_text())["rounds"]
    ram: dict[str, Any] = {"warmup_rounds": 3, "warmup_from": 5e-5, "minimum": 1e-5}
    groups = {
        "sgd_lr0_0p001": OptimiserConfig(schedule="cosine-released", learning_rate=1e-3),
        "ram_adapters": OptimiserConfig(schedule="cosine-released", learning_rate=5e-6, **ram),
        "ram_embeddings": OptimiserConfig(schedule="cosine-released", learning_rate=1e-3, **ram),
    }
    for rounds in (10, 50):
        for name, settings_ in groups.items():
            got = [learning_rate(settings_, RoundContext(r, rounds)) for r in range(rounds)]
            assert got == pytest.approx(expected[str(rounds)][name], rel=1e-9), name


def test_warm_up_by_hand() -> None:
    """From 0.2 to 1 in two rounds: 0.2, 0.6; then constant."""
    settings_ = OptimiserConfig(schedule="constant", learning_rate=1.0, warmup_rounds=2, warmup_from=0.2)
    assert [learning_rate(settings_, RoundContext(r, 4)) for r in range(4)] == pytest.approx([0.2, 0.6, 1, 1])


def test_replies_are_averaged_as_they_come() -> None:
    """Of a stream no more than one reply is alive; its result is the list's."""
    alive: list[weakref.ref[torch.Tensor]] = []

    def stream() -> Iterator[Reply]:
        for client in range(6):
            assert sum(ref() is not None for ref in alive[1:]) <= 1, "the first is kept for its names and shapes"
            value = torch.full((3,), float(client))
            alive.append(weakref.ref(value))
            yield Reply(client, {"w": value}, client + 1, 0.0)
            del value

    replies = [Reply(c, {"w": torch.full((3,), float(c))}, c + 1, 0.0) for c in range(6)]
    assert torch.equal(average(stream(), "examples")["w"], average(replies, "examples")["w"])


def test_a_stream_out_of_order_is_refused() -> None:
    with pytest.raises(RunFailed, match="client 1 replied after client 2"):
        average(iter([reply(0, 1.0), reply(2, 1.0), reply(1, 1.0)]), "uniform")


def test_a_round_trains_from_the_servers_state_and_averages() -> None:
    """Clients add their own number + 1; two of them from 10: the mean of 11 and 12."""

    def client(number: int, state: State, context: RoundContext) -> Reply:
        return Reply(number, {"w": state["w"] + number + 1}, 5, loss=float(number))

    state, record = run_round(
        {"w": torch.tensor([10.0])}, 2, client, FederationConfig(), OptimiserConfig(), 0, RoundContext(0, 3)
    )
    assert state["w"].item() == 11.5
    assert (record.clients, record.examples, record.loss) == ((0, 1), 10, 0.5)


def test_seeds_depend_on_every_part_of_their_path() -> None:
    paths = [(0, "a", 1, 2), (1, "a", 1, 2), (0, "b", 1, 2), (0, "a", 2, 1), (0, "a", 12)]
    assert len({derive(*path) for path in paths}) == len(paths)
    assert np.array_equal(numpy_generator(3, "x").random(4), numpy_generator(3, "x").random(4))
