"""Rounds, without a model."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared import shared
from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.federation.aggregation.registry import choose_rule
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext, learning_rate, run_round, sample_clients
from trainer.seeding import derive, numpy_generator


@settings(max_examples=50, deadline=None)
@given(clients=st.integers(1, 200), share=st.floats(0.01, 1.0), round_=st.integers(0, 50))
def test_drawn_clients(clients: int, share: float, round_: int) -> None:
    """Distinct, ascending, about the asked share, the same again for the same round."""
    context = RoundContext(round_, 60)
    drawn = sample_clients(clients, share, 5, context)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == min(clients, max(1, round(share * clients)))
    assert drawn == sample_clients(clients, share, 5, context)


def test_rounds_draw_different_clients() -> None:
    drawn = {tuple(sample_clients(100, 0.1, 0, RoundContext(r, 10))) for r in range(10)}
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


def test_a_round_trains_from_the_servers_state_and_averages() -> None:
    """Clients add their own number + 1; two of them from 10: the mean of 11 and 12."""

    def client(number: int, state: State, context: RoundContext) -> Reply:
        return Reply(number, {"w": state["w"] + number + 1}, 5, loss=float(number))

    federation, context = FederationConfig(), RoundContext(0, 3)
    state, record = run_round(
        {"w": torch.tensor([10.0])},
        2,
        client,
        federation,
        OptimiserConfig(),
        0,
        context,
        choose_rule(federation, "mean"),
    )
    assert state["w"].item() == 11.5
    assert (record.clients, record.examples, record.loss) == ((0, 1), 10, 0.5)


def test_seeds_depend_on_every_part_of_their_path() -> None:
    paths = [(0, "a", 1, 2), (1, "a", 1, 2), (0, "b", 1, 2), (0, "a", 2, 1), (0, "a", 12)]
    assert len({derive(*path) for path in paths}) == len(paths)
    assert np.array_equal(numpy_generator(3, "x").random(4), numpy_generator(3, "x").random(4))
