"""A linear probe on frozen features: one logistic regression per label (Radford et al., ICML 2021, section 3.2).

Shape letters: n images, C labels, D feature width, K sites.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.evaluation.metrics import compute_metrics
from trainer.seeding import numpy_generator

DECAYS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Candidates for the weight decay, the strongest first; chosen on validation images."""
ITERATIONS = 100
"""Of L-BFGS, for the pooled probe."""
ROUNDS, LOCAL_ITERATIONS, SITES_A_ROUND = 20, 5, 50
"""Of federated averaging: its rounds, the L-BFGS iterations of a site in a round, and at most so many sites in it."""


def pooled_probe(train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> Tensor:
    """The weights (D + 1, C) of a probe on all training images, with the weight decay that is best on validation.

    Args:
        train, validation: features (n, D) and labels (n, C); 1, 0 or -1 (unknown, left out).
    """
    start = _zeros(train)
    return _best([_fitted(start, *train, decay, ITERATIONS) for decay in DECAYS], validation)


def federated_probe(sites: list[tuple[Tensor, Tensor]], validation: tuple[Tensor, Tensor]) -> Tensor:
    """The weights (D + 1, C) of a probe trained by federated averaging (McMahan et al., AISTATS 2017).

    Args:
        sites: features and labels of each of K sites; sites are weighted by their number of images.
        validation: for the choice of the weight decay.
    """
    return _best([_averaged(sites, decay) for decay in DECAYS], validation)


def probe_logits(weights: Tensor, features: Tensor) -> Tensor:
    """Logits (n, C) of images with features (n, D)."""
    return features @ weights[:-1] + weights[-1]


def _averaged(sites: list[tuple[Tensor, Tensor]], decay: float) -> Tensor:
    weights = _zeros(sites[0])
    for index in range(ROUNDS):
        drawn = numpy_generator(0, "probe", index).permutation(len(sites))[:SITES_A_ROUND]
        chosen = [sites[k] for k in np.sort(drawn)]
        fitted = [len(labels) * _fitted(weights, x, labels, decay, LOCAL_ITERATIONS) for x, labels in chosen]
        weights = torch.stack(fitted).sum(0) / sum(len(labels) for _, labels in chosen)
    return weights


def _fitted(start: Tensor, features: Tensor, labels: Tensor, decay: float, iterations: int) -> Tensor:
    """Minimise the mean cross-entropy over known labels plus decay / 2 · ‖w‖² per label, from `start` on."""
    with torch.enable_grad():
        weights = start.clone().requires_grad_(True)
        known = (labels >= 0).to(features)
        truth = labels.clamp_min(0).to(features)
        share = known / known.sum(0).clamp_min(1)
        search = torch.optim.LBFGS(
            [weights], max_iter=iterations, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
        )

        def objective() -> Tensor:
            search.zero_grad()
            loss = F.binary_cross_entropy_with_logits(probe_logits(weights, features), truth, share, reduction="sum")
            value = loss + decay / 2 * weights[:-1].square().sum()
            value.backward()
            return value

        search.step(objective)
    return weights.detach()


def _best(candidates: list[Tensor], validation: tuple[Tensor, Tensor]) -> Tensor:
    """The candidate with the highest validation mAP, the first if tied."""
    features, labels = validation
    found = [compute_metrics(probe_logits(w, features).cpu(), labels.cpu(), 0.5).mAP or 0.0 for w in candidates]
    return candidates[max(range(len(found)), key=found.__getitem__)]


def _zeros(images: tuple[Tensor, Tensor]) -> Tensor:
    features, labels = images
    return features.new_zeros(features.shape[1] + 1, labels.shape[1])
