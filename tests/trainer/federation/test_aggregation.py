"""Aggregation rules: the guarantees of each. Shape letter: K replies."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.shared import shared
from trainer.config.sections import FederationConfig
from trainer.errors import RunFailed, TrainerError
from trainer.federation.aggregation.coordinates import coordinate_wise
from trainer.federation.aggregation.krum import krum_scores
from trainer.federation.aggregation.registry import (
    Aggregation,
    aggregate,
    choose_rule,
    memory_note,
    register,
    rule_names,
)
from trainer.federation.replies import Reply, State

RULES = ("mean", "median", "trimmed-mean", "multi-krum", "norm-bounded-mean", "fedawa", "fedawa-released")
ROBUST = ("median", "trimmed-mean")

seeds = st.integers(0, 10_000)


def reply(client: int, value: float, examples: int = 1) -> Reply:
    return Reply(client, {"w": torch.full((2,), value)}, examples, loss=value)


def merged(rule: str, replies: Iterable[Reply], server: State | None = None, **more: object) -> State:
    """By a rule; the clients began from zeros, unless it is said from what."""
    config = FederationConfig.model_validate({"aggregation": rule, **more})
    if server is None:
        assert isinstance(replies, list)
        server = {name: torch.zeros_like(value) for name, value in replies[0].state.items()} if replies else {}
    return aggregate(choose_rule(config, "mean"), replies, server, config)


def drawn(seed: int, clients: int = 5, spread: float = 1.0) -> list[Reply]:
    """Replies of two parameters, with 1, 2, 3 … examples."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"a": (4, 3), "b": (7,)}
    return [
        Reply(c, {n: spread * torch.randn(s, generator=generator) for n, s in shapes.items()}, c + 1, 0.0)
        for c in range(clients)
    ]


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_fedavg_is_the_published_programs() -> None:
    tensors = load_file(shared("fixtures/aggregation.safetensors"))
    for seed in range(5):
        clients = tensors[f"s{seed}.clients"]
        found = merged("mean", [Reply(i, {"ctx": c}, 7 + i, 0.0) for i, c in enumerate(clients)])
        torch.testing.assert_close(found["ctx"], tensors[f"s{seed}.fedavg"], atol=1e-7, rtol=1e-6)


def test_weights_by_hand() -> None:
    """1 image of value 0 and 3 of value 4: the mean is 3 by images and 2 by clients."""
    replies = [reply(0, 0.0, 1), reply(1, 4.0, 3)]
    assert merged("mean", replies, weights="examples")["w"].tolist() == [3.0, 3.0]
    assert merged("mean", replies)["w"].tolist() == [2.0, 2.0]


def test_rules_by_hand() -> None:
    """Values 0, 1, 2, 3, 100: median 2; trimmed (1 + 2 + 3) / 3; the longest update shortened to the median's, 2."""
    replies = [reply(c, v) for c, v in enumerate((0.0, 1.0, 2.0, 3.0, 100.0))]
    assert merged("median", replies)["w"].tolist() == [2.0, 2.0]
    assert merged("median", replies[:4])["w"].tolist() == [1.5, 1.5]
    assert merged("trimmed-mean", replies)["w"].tolist() == [2.0, 2.0]
    assert merged("trimmed-mean", replies[1:], trimmed_share=0.25)["w"].tolist() == [2.5, 2.5]
    assert merged("norm-bounded-mean", replies)["w"].tolist() == pytest.approx([(0 + 1 + 2 + 2 + 2) / 5] * 2)


def test_multi_krum_by_hand() -> None:
    """0, 1, 2, 3, 100, one of them bad: squared distances to the two nearest are 5, 2, 2, 5 and about 19,000."""
    replies = [reply(c, v) for c, v in enumerate((0.0, 1.0, 2.0, 3.0, 100.0))]
    assert merged("multi-krum", replies)["w"].tolist() == [1.5, 1.5]
    scores = krum_scores(torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]], dtype=torch.float64), 1)
    assert scores.tolist() == [5.0, 2.0, 2.0, 5.0, 97.0**2 + 98.0**2]
    assert merged("multi-krum", replies, trimmed_share=0.4)["w"].tolist() == [1.0, 1.0]
    assert merged("multi-krum", replies[2:], trimmed_share=0.4)["w"].tolist() == [35.0, 35.0]


@settings(max_examples=30, deadline=None)
@given(seed=seeds, bad=st.integers(0, 4), factor=st.sampled_from([-1.0, -10.0, 1e6]))
def test_multi_krum_leaves_out_a_client_that_goes_against_the_others(seed: int, bad: int, factor: float) -> None:
    """Four go about the same way; the fifth turns round or runs."""
    way = drawn(seed, 1, spread=10.0)[0].state
    near = drawn(seed + 1, 5, spread=0.1)
    replies = [Reply(r.client, {n: way[n] + v for n, v in r.state.items()}, 1, 0.0) for r in near]
    honest = [r for r in replies if r.client != bad]
    replies[bad] = Reply(bad, {n: factor * v for n, v in replies[bad].state.items()}, 1, 0.0)
    torch.testing.assert_close(merged("multi-krum", replies), merged("mean", honest))


def test_a_share_is_rounded_up_and_leaves_one_value() -> None:
    """0.2 of three clients is one at either end; of two there is nothing to leave out."""
    three = [reply(0, 0.0), reply(1, 7.0), reply(2, 1000.0)]
    assert merged("trimmed-mean", three)["w"].tolist() == [7.0, 7.0]
    assert merged("trimmed-mean", three[:2])["w"].tolist() == [3.5, 3.5]
    thirty = [reply(c, float(c == 29)) for c in range(30)]
    assert merged("trimmed-mean", thirty, trimmed_share=0.1)["w"].tolist() == [0.0, 0.0]


@settings(max_examples=30, deadline=None)
@given(seed=seeds, clients=st.integers(1, 6), rule=st.sampled_from(RULES))
def test_equal_states_are_the_state(seed: int, clients: int, rule: str) -> None:
    one, other = drawn(seed, 2)
    replies = [Reply(c, one.state, 1, 0.0) for c in range(clients)]
    found = merged(rule, replies, other.state)
    assert equal(found, one.state) or rule == "norm-bounded-mean"
    torch.testing.assert_close(found, one.state)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, clients=st.integers(1, 6))
def test_nothing_trimmed_and_nothing_bounded_is_the_mean(seed: int, clients: int) -> None:
    replies = drawn(seed, clients)
    expected = merged("mean", replies)
    assert equal(merged("trimmed-mean", replies, trimmed_share=0), expected)
    torch.testing.assert_close(merged("norm-bounded-mean", replies, norm_bound=1e6), expected)
    weighed = merged("mean", replies, weights="examples")
    torch.testing.assert_close(merged("norm-bounded-mean", replies, norm_bound=1e6, weights="examples"), weighed)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, order=st.permutations(range(5)), rule=st.sampled_from(RULES))
def test_order_of_arrival_changes_no_bit(seed: int, order: list[int], rule: str) -> None:
    replies = drawn(seed)
    assert equal(merged(rule, [replies[i] for i in order]), merged(rule, replies))


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds, bad=st.integers(0, 4), factor=st.sampled_from([-1.0, -10.0, 1e6, -1e6]), rule=st.sampled_from(ROBUST)
)
def test_one_bad_client_of_five_stays_within_the_others(seed: int, bad: int, factor: float, rule: str) -> None:
    """Sign turned or scaled by a million: each number stays between the least and the greatest of the four others."""
    replies = drawn(seed)
    replies[bad] = Reply(bad, {n: factor * v for n, v in replies[bad].state.items()}, 1, 0.0)
    found = merged(rule, replies)
    for name, value in found.items():
        others = torch.stack([r.state[name] for r in replies if r.client != bad])
        assert bool((others.amin(0) <= value).all() and (value <= others.amax(0)).all())


@settings(max_examples=40, deadline=None)
@given(seed=seeds, bad=st.integers(0, 4), factor=st.sampled_from([-1.0, 1e6]), bound=st.sampled_from([None, 0.1, 2.0]))
def test_no_client_moves_a_bounded_mean_by_more_than_its_share(
    seed: int, bad: int, factor: float, bound: float | None
) -> None:
    """With a bound b the state moves by b at most, and one of five clients by 2b/5; None: the median length."""
    replies, server = drawn(seed), drawn(seed + 1)[0].state
    lengths = [sum(float((v - server[n]).square().sum()) for n, v in r.state.items()) ** 0.5 for r in replies]
    honest = merged("norm-bounded-mean", replies, server, norm_bound=bound)
    attacked = list(replies)
    attacked[bad] = Reply(bad, {n: factor * v for n, v in replies[bad].state.items()}, 1, 0.0)
    found = merged("norm-bounded-mean", attacked, server, norm_bound=bound)
    moved = sum(float((v - server[n]).square().sum()) for n, v in found.items()) ** 0.5
    if bound is None:
        assert moved <= sorted(lengths)[3] * (1 + 1e-5), "the median with one bad client is no more than the fourth"
    else:
        assert moved <= bound * (1 + 1e-5)
        apart = sum(float((v - honest[n]).square().sum()) for n, v in found.items()) ** 0.5
        assert apart <= 2 * bound / 5 * (1 + 1e-5)


@pytest.mark.parametrize("rule", ["mean", "trimmed-mean", "norm-bounded-mean"])
def test_sums_are_in_float64(rule: str) -> None:
    """Of 1 and ten times 2⁻²⁵, which float32 would lose one by one, the sum is above 1."""
    small = 2.0**-25
    replies = [reply(0, 1.0), *(reply(c, small) for c in range(1, 11))]
    more = {"trimmed_share": 0.0} if rule == "trimmed-mean" else {"norm_bound": 10.0}
    expected = torch.tensor((1 + 10 * small) / 11, dtype=torch.float64).float()
    assert merged(rule, replies, **more)["w"][0] == expected
    singly = torch.tensor(1.0)
    for _ in range(10):
        singly = singly + small
    assert singly / 11 != expected, "the numbers are chosen so that float32 shows"


@pytest.mark.parametrize("rule", RULES)
def test_counters_stay_integers(rule: str) -> None:
    """A batch norm's counter: rounded to the nearest, exact where all agree, and never part of a length."""
    big = 2**40 + 1

    def counted(client: int, count: int) -> Reply:
        return Reply(client, {"w": torch.full((2,), 0.1), "seen": torch.tensor(count)}, 1, 0.0)

    same = merged(rule, [counted(c, big) for c in range(3)])["seen"]
    assert (same.dtype, same.item()) == (torch.int64, big)
    found = merged(rule, [counted(0, 4), counted(1, 5), counted(2, 5)])
    assert found["seen"].item() == 5
    torch.testing.assert_close(found["w"], torch.full((2,), 0.1))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ([], "no client replied"),
        ([reply(3, float("nan"))], r"client 3 sent a w that is not finite"),
        ([reply(3, float("inf"))], r"client 3 sent a w that is not finite"),
        ([reply(0, 1.0), Reply(1, {"w": torch.zeros(3)}, 1, 0.0)], "client 1 sent other parameters"),
        ([reply(0, 1.0), Reply(1, {"v": torch.zeros(2)}, 1, 0.0)], "client 1 sent other parameters"),
        ([reply(0, 1.0), Reply(1, {"w": torch.zeros(2).double()}, 1, 0.0)], "client 1 sent other parameters"),
        ([reply(2, 1.0), reply(2, 1.0)], "client 2 replied after client 2"),
    ],
)
def test_bad_replies_are_named(rule: str, replies: list[Reply], said: str) -> None:
    with pytest.raises(RunFailed, match=said):
        merged(rule, replies, {"w": torch.zeros(2)})


def test_no_images_have_no_weight() -> None:
    with pytest.raises(RunFailed, match="no images"):
        merged("mean", [reply(0, 1.0, examples=0)], weights="examples")


@pytest.mark.parametrize(("rule", "more"), [("mean", {}), ("norm-bounded-mean", {"norm_bound": 1.0})])
def test_replies_are_taken_in_as_they_come(rule: str, more: dict[str, object]) -> None:
    """Of a stream no more than one reply is alive; its result is the list's."""
    alive: list[weakref.ref[torch.Tensor]] = []

    def stream() -> Iterator[Reply]:
        for client in range(6):
            assert sum(ref() is not None for ref in alive) <= 1
            value = torch.full((3,), float(client))
            alive.append(weakref.ref(value))
            yield Reply(client, {"w": value}, client + 1, 0.0)
            del value

    replies = [Reply(c, {"w": torch.full((3,), float(c))}, c + 1, 0.0) for c in range(6)]
    found = merged(rule, stream(), {"w": torch.zeros(3)}, weights="examples", **more)
    assert equal(found, merged(rule, replies, weights="examples", **more))


def test_a_stream_out_of_order_is_refused() -> None:
    with pytest.raises(RunFailed, match="client 1 replied after client 2"):
        merged("mean", iter([reply(0, 1.0), reply(2, 1.0), reply(1, 1.0)]), {"w": torch.zeros(2)})


def test_large_parameters_are_sorted_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two numbers give the same bits."""
    replies = drawn(3)
    whole = merged("median", replies)
    monkeypatch.setattr("trainer.federation.aggregation.coordinates.BLOCK", 10)
    sizes: list[int] = []

    def median(values: torch.Tensor) -> torch.Tensor:
        sizes.append(values.shape[1])
        return values.median(0).values

    found = coordinate_wise([r.state for r in replies], median)
    assert max(sizes) == 2
    torch.testing.assert_close(found, {name: value.double() for name, value in whole.items()}, atol=0, rtol=0)


def test_what_a_rule_holds_is_told() -> None:
    """Twelve and seven float32 of 30 clients; rules that stream say nothing."""
    server = drawn(0)[0].state

    def note(**more: object) -> str | None:
        config = FederationConfig.model_validate(more)
        return memory_note(choose_rule(config, "mean"), server, 30, config)

    for rule in ("median", "trimmed-mean", "norm-bounded-mean"):
        assert note(aggregation=rule) == (
            f"aggregation {rule} holds all replies of a round: 30 clients × 0.1 kB = 2.3 kB of memory"
        )
    assert note() is None
    assert note(aggregation="norm-bounded-mean", norm_bound=1) is None
    assert note(aggregation="trimmed-mean", trimmed_share=0) is None


def test_a_rule_is_chosen_by_name_or_by_the_method() -> None:
    assert choose_rule(FederationConfig(), "median").name == "median"
    assert choose_rule(FederationConfig(aggregation="mean"), "median").name == "mean"
    with pytest.raises(TrainerError, match=r"federation.aggregation 'medain' is not known; there are: median, "):
        choose_rule(FederationConfig(aggregation="medain"), "mean")
    with pytest.raises(TrainerError, match=r"weights=examples: median counts each client the same"):
        choose_rule(FederationConfig(aggregation="median", weights="examples"), "mean")


def test_a_rule_is_added_as_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Aggregation] = {}
    assert set(RULES) <= set(rule_names())
    monkeypatch.setattr("trainer.federation.aggregation.registry._RULES", known)

    @register("first", weighted=False)
    def first(replies: Iterable[Reply], server: State, settings: FederationConfig) -> State:
        return next(iter(replies)).state

    assert merged("first", [reply(4, 1.0), reply(2, 7.0)])["w"].tolist() == [7.0, 7.0]
    with pytest.raises(TrainerError, match="two aggregation rules are called 'first'"):
        register("first", weighted=False)(lambda replies, server, settings: server)
