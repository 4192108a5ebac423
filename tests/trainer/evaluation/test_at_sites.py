"""Evaluation at the sites: their counts together are the figures of their images together."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainer.evaluation.at_sites import (
    SiteCounts,
    count_at_site,
    merged_metrics,
    received_counts,
    site_signature,
    sites_record,
)
from trainer.evaluation.comparison import sites_sentence
from trainer.evaluation.measuring import client_metrics
from trainer.evaluation.metrics import compute_metrics
from trainer.federation.checks import UpdateRefused
from trainer.federation.messages import decode_update, encode_update
from trainer.run.metric_records import FIGURES, SitesRecord

LABELS, THRESHOLD = 4, 0.4


def images(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Scores, and labels of which some are unknown."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 2, (count, LABELS), generator=generator)
    return torch.randn(count, LABELS, generator=generator), labels


def told(site: int, pair: tuple[Tensor, Tensor], with_scores: bool) -> SiteCounts:
    """As the server gets it."""
    own = count_at_site(*pair, THRESHOLD, with_scores)
    expected = site_signature(own.images, LABELS, with_scores)
    return received_counts(decode_update(encode_update(own.tensors()), expected, site), own.images, site, THRESHOLD)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), scores=st.booleans())
def test_merged_counts_are_the_pooled_figures(seed: int, sizes: list[int], scores: bool) -> None:
    pairs = [images(seed + site, size) for site, size in enumerate(sizes)]
    found = merged_metrics([told(site, pair, scores) for site, pair in enumerate(pairs)], THRESHOLD).to_dict()
    pooled = compute_metrics(*(torch.cat(parts) for parts in zip(*pairs, strict=True)), THRESHOLD).to_dict()
    if not scores:
        pooled |= {"mAP": None, "average_precision": [None] * LABELS}
    precision, pooled_precision = found.pop("average_precision"), pooled.pop("average_precision")
    assert found == pytest.approx(pooled)
    assert precision == pytest.approx(pooled_precision)


def test_scores_stay_at_a_site_unless_allowed() -> None:
    own = count_at_site(*images(0, 50), THRESHOLD)
    assert own.tensors().keys() == {"counts"}
    assert len(encode_update(own.tensors())) < 300
    mixed = [told(0, images(0, 5), True), told(1, images(1, 5), False)]
    assert merged_metrics(mixed, THRESHOLD).mAP is None


def test_the_record_has_each_sites_figures_and_those_of_all() -> None:
    pairs = {site: images(site, 30) for site in (0, 3)}
    found = {site: told(site, pair, True) for site, pair in pairs.items()}
    record = sites_record({**found, 1: None}, {0: 7, 1: 8}, 4, 12, THRESHOLD)
    SitesRecord.model_validate(record)
    logits, labels = (torch.cat(parts) for parts in zip(*pairs.values(), strict=True))
    expected = client_metrics(logits, labels, torch.tensor([0] * 30 + [3] * 30).numpy(), THRESHOLD)
    for row, other in zip((record["each"][0], record["each"][3]), expected["each"], strict=True):
        assert row["figures"] == pytest.approx({name: other[name] for name in FIGURES})
    together = compute_metrics(logits, labels, THRESHOLD)
    assert record["together"] == pytest.approx({name: getattr(together, name) for name in FIGURES})
    assert [row["answered"] for row in record["each"]] == [True, True, False, True]
    assert [row["training_images"] for row in record["each"]] == [7, 8, None, None]
    assert [row["images"] for row in record["each"]] == [30, 0, 0, 30]
    sentence = sites_sentence(record)
    assert sentence is not None
    assert sentence.startswith("2 of 4 sites on 60 test images of their own, together: mAP ")
    assert sentence.endswith("; no answer from client 2")


def test_without_scores_the_record_has_no_map() -> None:
    record = sites_record({0: told(0, images(0, 30), False)}, {}, 1, 12, THRESHOLD)
    SitesRecord.model_validate(record)
    assert record["together"]["mAP"] is None
    assert "mAP" not in str(sites_sentence(record))
    assert sites_sentence(sites_record({0: None}, {}, 1, 12, THRESHOLD)) is None


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([[0, 0, 11]] * LABELS, "more than its 10 images"),
        ([[-1, 0, 0]] * LABELS, "less than 0"),
        ([[3, 2, 5]] * LABELS, "more true positives"),
        ([[3, 5, 2]] * LABELS, "more true positives"),
    ],
)
def test_counts_that_no_images_have_are_refused(counts: list[list[int]], said: str) -> None:
    with pytest.raises(UpdateRefused, match=f"client 2: counted.*{said}"):
        received_counts({"counts": torch.tensor(counts)}, 10, 2, THRESHOLD)


def test_a_site_with_scores_has_the_figures_of_its_scores() -> None:
    pair = images(0, 10)
    own = count_at_site(*pair, THRESHOLD, with_scores=True).tensors()
    other = received_counts({**own, "counts": torch.zeros(LABELS, 3, dtype=torch.int64)}, 10, 2, THRESHOLD)
    assert torch.equal(other.counts, own["counts"])
    with pytest.raises(UpdateRefused, match="labels other than"):
        received_counts({**own, "labels": own["labels"] + 5}, 10, 2, THRESHOLD)
