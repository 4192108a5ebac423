"""Evaluation where the images are, over a network; without Flower."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.flower.network import EXCHANGE, FACTS, STATE, FakeSite, Network, altered
from trainer.evaluation.at_sites import SiteCounts
from trainer.flower.envelope import Envelope, digest, hash_facts
from trainer.flower.questions import Counting

COUNTS = torch.tensor([[2, 3, 2], [0, 1, 4]])
Told = dict[int, SiteCounts | str | None]


def told(network: Network, clients: int, with_scores: bool = False) -> Told:
    """For each client what it told, or why that cannot count."""
    question = Counting(EXCHANGE, "run", STATE, 0.5, with_scores, 2, hash_facts(FACTS))
    found: Told = {}
    for answer in network.asking(question, network.roster(clients), 1).replies(list(range(clients))):
        if isinstance(answer, tuple):
            found[answer[0]] = answer[1]
        else:
            found[answer.client] = answer.reason
    return found


def test_sites_tell_counts_or_nothing() -> None:
    network = Network({1: FakeSite(0, counts=COUNTS), 2: FakeSite(1), 3: FakeSite(2, change=lambda reply: None)})
    found = told(network, 3)
    assert found.keys() == {0, 1}
    assert isinstance(first := found[0], SiteCounts)
    assert torch.equal(first.counts, COUNTS)
    assert (first.images, first.scores) == (5, None)
    assert found[1] is None
    assert "client 2: no answer with counts of its test images" in network.said


def test_scores_come_only_if_they_are_asked_for() -> None:
    network = Network({1: FakeSite(0, counts=COUNTS)})
    assert isinstance(found := told(network, 1, with_scores=True)[0], SiteCounts)
    assert found.scores is not None
    assert isinstance(found := told(network, 1)[0], SiteCounts)
    assert found.scores is None


OTHER = FakeSite(0, counts=torch.tensor([[3, 2, 3], [0, 1, 4]]))
MANY = FakeSite(0, counts=torch.tensor([[2, 6, 2], [0, 1, 4]]))


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        (FakeSite(0, counts=COUNTS, change=lambda e: altered(e, client=1)), "replied as client 1"),
        (FakeSite(0, counts=COUNTS, change=lambda e: altered(e, base=digest(b""))), "counted for another run"),
        (FakeSite(0, counts=COUNTS, change=lambda e: altered(e, facts=digest(b""))), "with another bank"),
        (FakeSite(0, counts=COUNTS, change=lambda e: altered(e, scores=True)), "for which nobody asked"),
        (FakeSite(0, counts=COUNTS, change=lambda e: Envelope(e.head, e.blob[:-1])), "damaged on the way"),
        (FakeSite(0, counts=COUNTS[:1]), "counts"),
        (OTHER, "more true positives than predictions"),
        (MANY, "more than its 5 images"),
    ],
)
def test_what_cannot_be_true_is_refused_and_the_others_count(site: FakeSite, reason: str) -> None:
    found = told(Network({1: site, 2: FakeSite(1, counts=COUNTS)}), 2)
    assert reason in str(found[0])
    assert isinstance(found[1], SiteCounts)
