"""SCPNet: the graph of similar labels, and what passes through it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trainer.methods.published_tensors import trained_on_vit_b16
from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip
from trainer.methods.registry import build
from trainer.methods.scpnet import SCPNet, ScpNetConfig

CLIP = random_clip()
FIVE = ("cat", "dog", "sofa", "dining table", "person")


def scpnet(labels: tuple[str, ...] = LABELS, seen: tuple[int, ...] | None = None, **settings: Any) -> SCPNet:
    context = method_context(ScpNetConfig(**settings), clip=CLIP, labels=labels)
    method = build("scpnet", dataclasses.replace(context, seen=seen))
    assert isinstance(method, SCPNet)
    return method


def plain(method: SCPNet, graph: Tensor) -> Tensor:
    """A (leaky (A (leaky (A T W1)) W2)) W3, written out label by label."""
    (text,) = method.encode_contexts([method.context])
    passed = text
    for layer, weights in enumerate(method.weights):
        rows = [sum(graph[c, b] * (passed[b] @ weights) for b in range(len(graph))) for c in range(len(graph))]
        passed = torch.stack([torch.as_tensor(row) for row in rows])
        if layer < 2:
            passed = torch.where(passed > 0, passed, 0.2 * passed)
    return text + passed


def test_text_features_by_hand() -> None:
    method = scpnet(FIVE, neighbours=2).eval()
    with torch.no_grad():
        torch.testing.assert_close(method.text_features(), plain(method, method.graph), atol=1e-5, rtol=1e-4)


def test_neighbours_are_the_most_similar_labels() -> None:
    """Each row has 0.8 for the label itself, and 0.2 divided among its two nearest by their similarity."""
    graph = scpnet(FIVE, neighbours=2).graph
    text = F.normalize(CLIP.encode_texts([f"a photo of a {name}." for name in FIVE]), dim=-1)
    torch.testing.assert_close(graph.sum(1), torch.ones(5))
    torch.testing.assert_close(graph.diagonal(), torch.full((5,), 0.8))
    for c in range(5):
        cosines = {b: float(text[c] @ text[b]) for b in range(5) if b != c}
        nearest = sorted(cosines, key=lambda b: -cosines[b])[:2]
        total = sum(cosines[b] for b in nearest)
        for b, cosine in cosines.items():
            assert float(graph[c, b]) == pytest.approx(0.2 * cosine / total if b in nearest else 0, abs=1e-5)


def test_unseen_names_have_no_part_in_training() -> None:
    """The loss is that of a model which knows the seen names alone; evaluation connects all labels."""
    batch = random_batch(CLIP)
    method, small = scpnet(seen=(0, 2)), scpnet((LABELS[0], LABELS[2]))
    small.receive(method.exchanged())
    seen = batch._replace(labels=batch.labels[:, [0, 2]])
    torch.testing.assert_close(method.train().loss(batch), small.train().loss(seen))
    assert float((method.graph[1] - method.training_graph[1]).abs().max()) > 0.01


def test_a_single_label_has_no_neighbours() -> None:
    assert scpnet(("cat",)).graph.tolist() == [[1.0]]


def test_the_graph_is_trained() -> None:
    method = scpnet()
    method.loss(random_batch(CLIP)).backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in method.parameters() if p.grad is not None)
    assert {name for name, p in method.named_parameters() if p.grad is not None} == set(method.exchanged())


def test_what_it_trains_with_vit_b16() -> None:
    """The published program's 2,048; and 8 D² of the graph, which it leaves random, scale and bias of the logit."""
    assert trained_on_vit_b16(ScpNetConfig()) == 2_048 + 8 * 512**2 + 2
