"""Rounds, without a model."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared import shared
from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.errors import RunFailed
from trainer.federation.aggregation.registry import choose_rule
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext, RoundRecord, learning_rate, run_round, sample_clients
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

    state, record = ten_plus(2, FederationConfig())
    assert state["w"].item() == 11.5
    assert (record.clients, record.missing, record.examples, record.loss) == ((0, 1), (), 10, 0.5)


def ten_plus(clients: int, federation: FederationConfig, absent: Collection[int] = ()) -> tuple[State, RoundRecord]:
    """A round from 10 in which client k adds k + 1; some are absent."""

    def gather(sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply]:
        for number in sampled:
            if number not in absent:
                yield Reply(number, {"w": state["w"] + number + 1}, 5, loss=float(number))

    state, rule = {"w": torch.tensor([10.0])}, choose_rule(federation, "mean")
    return run_round(state, clients, gather, federation, OptimiserConfig(), 0, RoundContext(0, 3), rule)


def test_missing_clients_are_named_and_the_others_averaged() -> None:
    state, record = ten_plus(4, FederationConfig(min_replies=0.5), absent=(1, 2))
    assert state["w"].item() == 12.5
    assert (record.clients, record.missing) == ((0, 3), (1, 2))


@pytest.mark.parametrize(("share", "absent"), [(1.0, (2,)), (0.5, (0, 1, 3)), (0.26, (0, 1, 3)), (0.01, (0, 1, 2, 3))])
def test_a_round_with_too_few_replies_is_not_aggregated(share: float, absent: tuple[int, ...]) -> None:
    """The least number is rounded up: 0.26 of four are two."""
    with pytest.raises(RunFailed, match=f"{4 - len(absent)} of 4 replies count.*missing: client {absent[0]}"):
        ten_plus(4, FederationConfig(min_replies=share), absent)


def test_replies_of_clients_that_were_not_asked_are_refused() -> None:
    federation = FederationConfig()
    uninvited = Reply(7, {"w": torch.tensor([1.0])}, 5, 0.0)
    with pytest.raises(RunFailed, match=r"0 of 2 replies count.*client 7: was not asked"):
        run_round(
            {"w": torch.tensor([10.0])},
            2,
            lambda sampled, state, context: [uninvited],
            federation,
            OptimiserConfig(),
            0,
            RoundContext(0, 3),
            choose_rule(federation, "mean"),
        )


def test_seeds_depend_on_every_part_of_their_path() -> None:
    paths = [(0, "a", 1, 2), (1, "a", 1, 2), (0, "b", 1, 2), (0, "a", 2, 1), (0, "a", 12)]
    assert len({derive(*path) for path in paths}) == len(paths)
    assert np.array_equal(numpy_generator(3, "x").random(4), numpy_generator(3, "x").random(4))
