"""Bad replies: each is refused by name, and the round is as if its client had not taken part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.errors import RunFailed
from trainer.federation.aggregation.registry import choose_rule, rule_names
from trainer.federation.checks import HELD, Asked, RoundChecks, UpdateRefused
from trainer.federation.messages import decode_update, encode_update, longest_blob
from trainer.federation.replies import Reply, State, signature
from trainer.federation.rounds import RoundContext, RoundRecord, run_round

SERVER: State = {"a": torch.linspace(-1, 1, 12).view(4, 3), "b": torch.zeros(5), "seen": torch.tensor(3)}
BAD, CLIENTS, IMAGES, ROUND, INPUTS = 2, 5, 20, 4, "hash of our bank"

Spoil = Callable[[Reply], Reply]
TrainClient = Callable[[int, State, RoundContext], Reply]


def honest(client: int, state: State, context: RoundContext) -> Reply:
    """A client's own small update."""
    generator = torch.Generator().manual_seed(client)
    trained = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value + 1
        for name, value in state.items()
    }
    return Reply(client, trained, IMAGES - client, 0.5, context.round, INPUTS)


def with_state(change: Callable[[State], State]) -> Spoil:
    return lambda reply: replace(reply, state=change(dict(reply.state)))


def through_bytes(change: Callable[[bytes], bytes]) -> Spoil:
    """As an engine does it whose clients are elsewhere."""

    def sent(reply: Reply) -> Reply:
        blob = change(encode_update(reply.state))
        return replace(reply, state=decode_update(blob, signature(SERVER), reply.client))

    return sent


def put(value: float) -> Callable[[State], State]:
    def change(state: State) -> State:
        spoiled = state["a"].clone()
        spoiled[2, 1] = value
        return {**state, "a": spoiled}

    return change


BAD_REPLIES: dict[str, tuple[Spoil, str]] = {
    "NaN": (with_state(put(float("nan"))), "sent a a that is not finite"),
    "inf": (with_state(put(float("-inf"))), "sent a a that is not finite"),
    "wrong shape": (with_state(lambda s: {**s, "a": s["a"].T}), "a of shape [3, 4], not [4, 3]"),
    "wrong dtype": (with_state(lambda s: {**s, "b": s["b"].double()}), "b as float64, not float32"),
    "missing name": (with_state(lambda s: {"a": s["a"], "seen": s["seen"]}), "b missing"),
    "extra name": (with_state(lambda s: {**s, "\x1b[2Jc": s["b"]}), "�[2Jc unknown"),
    "no weight": (lambda r: replace(r, examples=0), "sent 0 as its number of images"),
    "negative weight": (lambda r: replace(r, examples=-5), "sent -5 as its number of images"),
    "half an image": (lambda r: replace(r, examples=2.5), "sent 2.5 as its number of images"),  # type: ignore[arg-type]
    "too many images": (lambda r: replace(r, examples=10**9), "of which it has 20"),
    "a million times as long": (
        with_state(lambda s: {n: SERVER[n] + 10**6 * (v - SERVER[n]) for n, v in s.items()}),
        "sent an update of norm",
    ),
    "empty": (with_state(lambda s: {}), "sent no parameters"),
    "other bank": (lambda r: replace(r, inputs="hash of another"), "trained with another bank"),
    "no word of its bank": (lambda r: replace(r, inputs=None), "trained with another bank"),
    "replayed round": (lambda r: replace(r, round=ROUND - 1), "replied for round 3 in round 4"),
    "loss": (lambda r: replace(r, loss=float("nan")), "sent a loss of nan"),
    "another client's": (lambda r: replace(r, client=9), "client 9: was not asked in round 4"),
    "second reply": (lambda r: replace(r, client=BAD - 1), "client 1: replied twice"),
    "truncated message": (through_bytes(lambda blob: blob[:-3]), "no safetensors blob, or is cut off"),
    "empty message": (through_bytes(lambda blob: b""), "sent an empty message"),
    "long message": (through_bytes(lambda blob: blob + bytes(10**5)), "are accepted"),
    "pickle": (through_bytes(lambda blob: b"\x80\x04K\x01."), "no safetensors blob"),
}


def played(train: TrainClient, rule: str = "mean", clients: int = CLIENTS, **more: Any) -> tuple[State, RoundRecord]:
    federation = FederationConfig.model_validate({"aggregation": rule, **more})

    def gather(sampled: list[int], state: State, context: RoundContext) -> Iterator[Reply | UpdateRefused]:
        for client in sampled:
            try:
                yield train(client, state, context)
            except UpdateRefused as refused:
                yield refused

    return run_round(
        SERVER,
        clients,
        gather,
        federation,
        OptimiserConfig(),
        0,
        RoundContext(ROUND, 10),
        choose_rule(federation, "mean"),
        [IMAGES] * clients,
        INPUTS,
    )


def with_one(spoil: Spoil) -> TrainClient:
    def train(client: int, state: State, context: RoundContext) -> Reply:
        reply = honest(client, state, context)
        return spoil(reply) if client == BAD else reply

    return train


def absent(reply: Reply) -> Reply:
    raise UpdateRefused(reply.client, "is not here")


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", BAD_REPLIES)
def test_a_bad_reply_is_refused_by_name(kind: str) -> None:
    spoil, said = BAD_REPLIES[kind]
    state, record = played(with_one(spoil))
    (refusal,) = record.refused
    assert said in str(refusal)
    assert record.clients == (0, 1, 3, 4)
    expected, without = played(with_one(absent))
    assert equal(state, expected)
    assert (record.examples, record.loss) == (without.examples, without.loss)


@pytest.mark.parametrize("rule", rule_names())
def test_rules_do_not_see_a_bad_reply(rule: str) -> None:
    spoil, _ = BAD_REPLIES["a million times as long"]
    state, record = played(with_one(spoil), rule)
    assert [refusal.client for refusal in record.refused] == [BAD]
    assert equal(state, played(with_one(absent), rule)[0])


def test_all_good_replies_count() -> None:
    _, record = played(honest)
    assert (record.clients, record.refused) == ((0, 1, 2, 3, 4), ())


def test_too_few_replies_stop_the_run_and_say_why() -> None:
    spoil, _ = BAD_REPLIES["NaN"]
    assert played(with_one(spoil), min_replies=0.8)[1].refused
    with pytest.raises(RunFailed, match=r"round 5: 4 of 5 replies count.*min_replies=1\); client 2: sent a a"):
        played(with_one(spoil), min_replies=1.0)
    with pytest.raises(RunFailed, match=r"round 5: 0 of 5 replies count"):
        played(lambda client, state, context: absent(honest(client, state, context)))


def test_a_limit_of_ones_own() -> None:
    """Updates of norm 1, 2 and 3 with a limit of 2."""

    def train(client: int, state: State, context: RoundContext) -> Reply:
        moved = state["b"].clone()
        moved[0] += client + 1
        return Reply(client, {**state, "b": moved}, 1, 0.0, inputs=INPUTS)

    _, record = played(train, clients=3, largest_update=2)
    assert record.clients == (0, 1)
    assert "norm 3; at most 2 is accepted" in record.refused[0].reason


def lengths_that_count(lengths: list[float]) -> list[int]:
    """Which of some clients' updates of these lengths count."""
    replies = (Reply(c, {"w": torch.tensor([length])}, 1, 0.0) for c, length in enumerate(lengths))
    checks = RoundChecks(Asked(0, range(len(lengths)), {"w": torch.zeros(1)}), FederationConfig())
    return [reply.client for reply in checks.accepted(replies)]


def test_two_updates_do_not_say_which_is_too_long() -> None:
    """Nor do clients that stand still."""
    assert lengths_that_count([1.0, 1e6]) == [0, 1]
    assert lengths_that_count([0.0, 0.0, 0.0, 1.0]) == [0, 1, 2, 3]
    assert lengths_that_count([1.0, 1e6, 1.0]) == [0, 2]


@settings(max_examples=30, deadline=None)
@given(bad=st.integers(0, 3 * HELD), lengths=st.lists(st.floats(1, 100, width=32), min_size=3, max_size=3 * HELD))
def test_one_update_a_million_times_as_long_is_found_anywhere(bad: int, lengths: list[float]) -> None:
    """Beside updates that differ by up to a hundred times, of which none is refused; more than are held at once too."""
    everyone = list(range(len(lengths)))
    assert lengths_that_count(lengths) == everyone
    place = bad % len(lengths)
    spoiled = [1e8 if client == place else length for client, length in enumerate(lengths)]
    assert lengths_that_count(spoiled) == [client for client in everyone if client != place]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bytes_of_any_kind_are_read_or_refused(data: st.DataObject) -> None:
    """A good blob with some bytes changed, cut off or repeated gives a state of the expected form, or a refusal."""
    blob = bytearray(encode_update(SERVER))
    for _ in range(data.draw(st.integers(0, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    blob = blob[: data.draw(st.integers(0, len(blob)))] if data.draw(st.booleans()) else blob
    try:
        state = decode_update(bytes(blob), signature(SERVER), BAD)
    except UpdateRefused as refusal:
        assert refusal.client == BAD
        return
    assert signature(state) == signature(SERVER)
    assert all(bool(torch.isfinite(value).all()) for value in state.values())


def test_a_state_survives_the_journey() -> None:
    blob = encode_update(SERVER)
    assert len(blob) <= longest_blob(signature(SERVER))
    assert equal(decode_update(blob, signature(SERVER), 0), SERVER)
    assert encode_update(dict(reversed(SERVER.items()))) == blob
