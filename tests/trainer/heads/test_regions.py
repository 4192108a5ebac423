"""Region pooling: weights over tokens, and explanations by those of the patches."""

from __future__ import annotations

import pytest
import torch

from trainer.heads.logit import LogitConfig
from trainer.heads.regions import RegionConfig, RegionHead, pool_regions


def test_explanations_sum_to_one_unless_patches_have_no_weight() -> None:
    """A class token 100 times as similar as any patch, as in features that are not normalised over channels."""
    text = torch.eye(4)[:2]
    features = torch.zeros(1, 3, 4)
    features[0, 1, 0] = features[0, 2, 1] = 1.0
    head = RegionHead(RegionConfig(variant="released"))
    places = head.evidence(features, text, slice(1, None)).places
    assert places is not None
    torch.testing.assert_close(places.sum(1), torch.ones(1, 2))
    text = torch.ones(1, 400)
    features = torch.zeros(1, 3, 400)
    features[0, 0] = 1.0
    places = head.evidence(features, text, slice(1, None)).places
    assert places is not None
    assert places.flatten().tolist() == [0.0, 0.0]


def test_pooling_by_hand() -> None:
    """Cosines 1 and 0 of two tokens: weights e^20 and 1, whatever the lengths of features and texts."""
    features = torch.tensor([[[3.0, 0.0], [0.0, 0.5]]])
    weights, scores = pool_regions(features, torch.tensor([[7.0, 0.0]]), "channels")
    first = torch.tensor(20.0).exp() / (torch.tensor(20.0).exp() + 1)
    torch.testing.assert_close(weights[0, 0], torch.stack([first, 1 - first]), atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(scores[0, 0], first)
    torch.testing.assert_close(pool_regions(features, torch.tensor([[7.0, 0.0]]), "tokens").scores[0, 0], first)


def test_a_logit_that_would_not_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="no effect with variant=released"):
        RegionConfig(variant="released", logit=LogitConfig(scale=10))
    assert RegionConfig(logit=LogitConfig(scale=10)).logit.scale == 10
