"""Rounds over a network that loses, delays and lies; without Flower."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.flower.network import FakeSite, Network, altered
from trainer.federation.checks import UpdateRefused
from trainer.federation.messages import encode_update
from trainer.federation.replies import Reply
from trainer.flower.envelope import Envelope, Trouble, digest
from trainer.flower.gathering import Stopped

Outcome = dict[int, float | str]


def outcomes(network: Network, clients: int, **settings: float) -> Outcome:
    """For each client that came back the first number of its state, or why it is refused."""
    found: Outcome = {}
    for reply in network.gathering(network.roster(clients), clients, **settings).replies(list(range(clients))):
        if isinstance(reply, Reply):
            assert reply.state["table"].item() == 7.0  # which did not travel
            found[reply.client] = reply.state["w"][0].item()
        else:
            found[reply.client] = reply.reason
    return found


def test_replies_come_in_order_of_clients_whatever_the_order_of_nodes() -> None:
    network = Network({77: FakeSite(2, delay=1), 5: FakeSite(0, delay=9), 6: FakeSite(1, delay=4)})
    assert list(outcomes(network, 3).items()) == [(0, 11.0), (1, 12.0), (2, 13.0)]
    assert [kind for _, kind in network.asked] == ["hello"] * 3 + ["train"] * 3


def test_only_what_changes_is_sent() -> None:
    network = Network({1: FakeSite(0)})
    gathering = network.gathering(network.roster(1), 1)
    list(gathering.replies([0]))
    assert 8 < gathering.traffic.sent < 500
    assert b"table" not in gathering.question.ask(0).blob


def test_a_node_that_is_replaced_is_asked_again() -> None:
    """The request is gone with the node; the client is back at another."""
    network = Network({1: FakeSite(0), 2: FakeSite(1, change=lambda reply: None)})
    network.at(20, lambda: network.sites.pop(2))
    network.at(40, lambda: network.sites.update({3: FakeSite(1)}))
    assert outcomes(network, 2) == {0: 11.0, 1: 12.0}
    assert "client 1: gone" in network.said


def test_a_request_that_a_restarted_node_lost_is_found_by_asking() -> None:
    """The same node answers a later question, so that it cannot be working on the earlier request."""
    network = Network({1: FakeSite(0, change=lambda reply: None)})
    network.at(20, lambda: network.sites.update({1: FakeSite(0)}))
    assert outcomes(network, 1) == {0: 11.0}
    assert network.now < 60
    assert "client 0: lost what it was asked; asked again" in network.said


def test_the_question_whether_a_request_is_lost_may_be_lost() -> None:
    network = Network({1: FakeSite(0, change=lambda reply: None)})
    network.at(20, lambda: network.sites.update({1: FakeSite(0)}))
    network.at(25, lambda: setattr(network, "loses_hellos", True))
    network.at(50, lambda: setattr(network, "loses_hellos", False))
    assert outcomes(network, 1) == {0: 11.0}
    assert 60 < network.now < 100


def test_a_site_that_is_not_ready_is_asked_again() -> None:
    answers = [Envelope(Trouble(again=True, reason="still loading"))]
    network = Network({1: FakeSite(0, change=lambda reply: answers.pop() if answers else reply)})
    assert outcomes(network, 1) == {0: 11.0}
    assert network.asked.count((1, "train")) == 2


def test_a_site_that_joins_late_takes_part() -> None:
    network = Network({1: FakeSite(0)})
    network.at(50, lambda: network.sites.update({2: FakeSite(1)}))
    assert outcomes(network, 2) == {0: 11.0, 1: 12.0}


def test_others_are_not_waited_for_longer_than_late() -> None:
    network = Network({1: FakeSite(0), 2: FakeSite(1), 3: FakeSite(2, change=lambda reply: None)})
    assert outcomes(network, 3, min_replies=0.5) == {0: 11.0, 1: 12.0}
    assert 100 < network.now < 120
    assert "client 2: no answer in round 1" in network.said


def test_a_round_ends_without_the_clients_that_never_come() -> None:
    network = Network({1: FakeSite(0)})
    assert outcomes(network, 2, min_replies=1) == {0: 11.0}
    assert 1000 < network.now < 1010
    assert "client 1: not there in round 1" in network.said


def test_a_round_that_cannot_succeed_is_not_waited_for() -> None:
    wrong = Envelope(Trouble(again=False, reason="loss nan"))
    network = Network({1: FakeSite(0, change=lambda reply: wrong)})
    assert outcomes(network, 2, min_replies=1) == {0: "loss nan"}
    assert network.now < 10


def test_the_user_can_stop() -> None:
    network = Network({})
    gathering = network.gathering(network.roster(1), 1)
    gathering.stopped = lambda: network.now > 5
    with pytest.raises(Stopped, match="goes on from its last complete round"):
        list(gathering.replies([0]))


BAD = encode_update({"w": torch.tensor([1.0, torch.nan])})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda e: altered(e, client=1), "replied as client 1"),
        (lambda e: altered(e, run="another"), "replied for another run or state"),
        (lambda e: altered(e, base=digest(b"")), "replied for another run or state"),
        (lambda e: Envelope(e.head, e.blob[:-1]), "damaged on the way"),
        (lambda e: Envelope(altered(e, hash=digest(e.blob[:-1])).head, e.blob[:-1]), "cut off"),
        (lambda e: Envelope(altered(e, hash=digest(BAD)).head, BAD), "not finite"),
        (lambda e: Envelope(altered(e, hash=digest(b"")).head, b""), "empty message"),
        (lambda e: Envelope(altered(e, hash=digest(b"0" * 10**5)).head, b"0" * 10**5), "at most"),
    ],
)
def test_bad_replies_are_refused_by_name_and_the_others_count(change: object, reason: str) -> None:
    network = Network({1: FakeSite(0, change=change), 2: FakeSite(1)})  # type: ignore[arg-type]
    found = outcomes(network, 2, min_replies=0.5)
    assert reason in str(found[0])
    assert found[1] == 12.0


def test_refusals_are_what_the_round_expects() -> None:
    wrong = Envelope(Trouble(again=False, reason="loss nan"))
    network = Network({1: FakeSite(0, change=lambda reply: wrong)})
    (refusal,) = network.gathering(network.roster(1), 1).replies([0])
    assert isinstance(refusal, UpdateRefused)
    assert refusal.client == 0
