"""Exchanged states in half the bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.small_runs import new_run, prepared
from trainer.errors import RunFailed
from trainer.federation.messages import decode_update, encode_update
from trainer.federation.replies import State
from trainer.federation.wire import (
    TYPES,
    WireType,
    client_start,
    counted_state,
    sent_to_client,
    sent_to_server,
    wire_bytes,
    wire_signature,
)
from trainer.train import train

SHORT: list[WireType] = ["float16", "bfloat16"]


def drawn(seed: int, scale: float = 1.0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {"w": scale * torch.randn(5, 7, generator=generator), "seen": torch.tensor(seed)}


def counted(server: State, update: State, wire: WireType) -> State:
    """A client's state at the server; the client adds the update to what it was sent."""
    sent = decode_update(encode_update(sent_to_client(server, wire)), wire_signature(server, wire), 0)
    start = client_start(sent, server)
    trained = {"w": start["w"] + update["w"], "seen": start["seen"] + 1}
    reply = decode_update(encode_update(sent_to_server(trained, start, wire)), wire_signature(server, wire), 0)
    return counted_state(reply, server, wire)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_float32_changes_no_bit(seed: int) -> None:
    server = drawn(seed)
    update = drawn(seed + 1, 0.01)
    found = counted(server, update, "float32")
    assert torch.equal(found["w"], server["w"] + update["w"])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), wire=st.sampled_from(SHORT), exponent=st.integers(-4, 0))
def test_an_update_keeps_its_digits_however_small_it_is(seed: int, wire: WireType, exponent: int) -> None:
    """Off by the type's rounding of the update, and by float32's of the state; not by the type's of the state."""
    server, update = drawn(seed), drawn(seed + 1, 10.0**exponent)
    found = counted(server, update, wire)
    off = (found["w"] - server["w"] - update["w"]).abs()
    subnormal = torch.finfo(TYPES[wire]).smallest_normal * torch.finfo(TYPES[wire]).eps
    assert bool((off <= torch.finfo(TYPES[wire]).eps * update["w"].abs() + subnormal + 2e-6).all())
    assert found["seen"].item() == seed + 1


def test_half_the_bytes() -> None:
    server = drawn(0)
    assert [wire_bytes(server, wire) for wire in ("float32", "float16", "bfloat16")] == [148, 78, 78]


def test_a_parameter_that_does_not_fit_is_told() -> None:
    large = {"w": torch.tensor([70_000.0])}
    assert torch.isfinite(sent_to_client(large, "bfloat16")["w"]).all()
    with pytest.raises(RunFailed, match=r"w has numbers too large for federation.wire=float16; use bfloat16"):
        sent_to_client(large, "float16")


def test_a_run_in_half_the_bits_is_near_the_other(tmp_path: Path) -> None:
    """But not equal to it: the setting does something."""
    states = {}
    for wire in ("float32", "float16"):
        run, config = new_run(tmp_path / wire, federation__wire=wire, federation__rounds=2, method__name="coop")
        ready = prepared(config, tmp_path / "cache")
        before = ready.method.exchanged()
        train(run, ready)
        states[wire] = run.load_checkpoint()[1]
    for name, value in states["float32"].items():
        moved = float((value - before[name]).norm())
        assert 0 < float((states["float16"][name] - value).norm()) < 0.1 * moved, name
