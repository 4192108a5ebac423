"""Who may take part; without Flower."""

from __future__ import annotations

from pathlib import Path

from tests.trainer.flower.network import FACTS, FakeSite, Network
from tests.trainer.flower.test_simulation import with_flower
from trainer.flower.proof import proved_by_keys
from trainer.flower.roster import Roster


def looked(network: Network, roster: Roster, seconds: float = 10) -> Roster:
    for _ in range(int(seconds)):
        roster.look()
        network.sleep(1)
    return roster


def test_a_site_that_differs_is_refused_with_what_differs() -> None:
    other = {**FACTS, "the bank": "another"}
    network = Network({1: FakeSite(0), 2: FakeSite(1, facts=other), 3: FakeSite(2, facts={"the bank": "a"})})
    roster = looked(network, network.roster(3))
    assert roster.members.keys() == {0}
    assert "refused: client 1: differs from the server in the bank (another, not a)" in network.said
    assert "refused: client 2: differs from the server in the labels or their order (missing, not b)" in network.said


def test_a_repaired_site_takes_part() -> None:
    network = Network({1: FakeSite(0, facts={})})
    network.at(20, lambda: network.sites.update({1: FakeSite(0)}))
    roster = looked(network, network.roster(1), 40)
    assert roster.members.keys() == {0}
    assert not roster.refused
    assert sum(said.startswith("refused") for said in network.said) == 1


def test_questions_that_are_lost_are_asked_again_ever_more_rarely() -> None:
    """After 30 s, 60 s and 120 s more."""
    network = Network({1: FakeSite(0)})
    network.loses_hellos = True
    roster = looked(network, network.roster(1), 200)
    assert len(network.asked) == 3
    network.loses_hellos = False
    assert looked(network, roster, 40).members.keys() == {0}


def test_a_second_node_for_a_client_waits_until_the_first_is_gone() -> None:
    network = Network({1: FakeSite(0)})
    roster = looked(network, network.roster(1))
    network.sites[2] = FakeSite(0)
    looked(network, roster)
    assert roster.members[0].node == 1
    assert "refused: client 0: another node takes part as this client" in network.said
    del network.sites[1]
    assert looked(network, roster, 20).members[0].node == 2


def test_a_number_that_no_client_has_is_refused() -> None:
    network = Network({1: FakeSite(4)})
    assert not looked(network, network.roster(2)).members
    assert "refused: client 4: there are clients 0 to 1 only" in network.said


@with_flower
def test_a_site_cannot_take_the_place_of_another_with_its_own_key(tmp_path: Path) -> None:
    from trainer.flower.certificates import write_node_key

    keys = [tmp_path / f"client-{client}" for client in range(2)]
    for key in keys:
        write_node_key(key, key.with_suffix(".pub"))
    network = Network({1: FakeSite(0, key=keys[1]), 2: FakeSite(1, key=keys[1]), 3: FakeSite(0)})
    roster = looked(network, network.roster(2, proved_by_keys(tmp_path)))
    assert {client: member.node for client, member in roster.members.items()} == {1: 2}
    assert network.said.count("refused: client 0: its key is not the one that was made for this number") == 2
