"""A training step has no data-dependent shapes: it runs on fake CUDA tensors, and compiles as a full graph."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.trainer.tiny import LABELS, method_context, random_batch, random_clip, small_bank
from trainer.methods.base import Method
from trainer.methods.registry import build, method_names, settings_classes

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in method_names()),
    *((name, {"variant": "released"}) for name, one in settings_classes().items() if "variant" in one.model_fields),
    ("fedmpt", {"matching": "transport"}),
    ("fedmpt", {"matching": "softmax", "gate": False}),
    ("fedmpt", {"matching": "image"}),
    ("fedmpt", {"background": "learned"}),
    ("coop", {"pooling": "max"}),
    ("fedmpt", {"context": "bank", "context_learned": True}),
    ("fedmpt", {"context": "bank", "context_learned": True, "context_form": "posterior"}),
    ("fedmpt", {"context": "bank", "context_learned": True, "context_form": "label-graph", "context_steps": 2}),
    ("zero-shot", {"context": "bank"}),
    ("zero-shot", {"context": "bank", "context_form": "compound"}),
]


def made(name: str, settings: dict[str, Any], seen: tuple[int, ...] | None = None) -> Method:
    config = settings_classes()[name].model_validate(settings)
    context = method_context(config, small_bank(values=("street", "park")), random_clip())
    return build(name, dataclasses.replace(context, seen=seen))


class Faked:
    """Puts fake CUDA tensors in the place of all tensors that an object holds, however deep."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self.mode = mode
        self.memo: dict[int, Any] = {}

    def __call__(self, one: Any) -> Any:
        if id(one) not in self.memo:
            self.memo[id(one)] = one
            self.memo[id(one)] = self._faked(one)
        return self.memo[id(one)]

    def _faked(self, one: Any) -> Any:
        if isinstance(one, Tensor):
            with self.mode:
                return torch.empty(one.shape, dtype=one.dtype, device="cuda")
        if isinstance(one, nn.Module) or (hasattr(one, "__dict__") and type(one).__module__.startswith("trainer.")):
            for name, value in list(vars(one).items()):
                object.__setattr__(one, name, self(value))
            return one
        if isinstance(one, dict):
            return type(one)((key, self(value)) for key, value in one.items())
        if isinstance(one, tuple) and hasattr(one, "_fields"):
            return type(one)(*(self(value) for value in one))
        return type(one)(self(value) for value in one) if isinstance(one, (list, tuple)) else one


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
@pytest.mark.parametrize("seen", [None, (0, 2)])
@torch.no_grad()
def test_loss_and_evidence_on_fake_cuda_tensors(
    name: str, settings: dict[str, Any], seen: tuple[int, ...] | None
) -> None:
    """A tensor left on the CPU, a number read from the device and a shape that depends on values are all refused."""
    method = made(name, settings, seen)
    batch = random_batch(method.clip, reads=method.reads)
    assert method.clip.scale > 0  # read once, when the backbone is loaded
    mode = FakeTensorMode(allow_non_fake_inputs=False)
    fake = Faked(mode)
    method, batch = fake(method), fake(batch)
    with mode:
        loss, text = method.loss(batch), method.text_features()
        assert (loss.device.type, loss.shape) == ("cuda", ())
        evidence = method.evidence(batch, text)
        assert all(part.device.type == "cuda" for part in evidence if isinstance(part, Tensor))
        assert method.logits(batch, text).shape == (4, len(LABELS))


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
def test_the_loss_compiles_in_one_piece(name: str, settings: dict[str, Any]) -> None:
    """One graph, forward and backward, with the eager loss and gradients."""
    method = made(name, settings).eval()
    batch = random_batch(method.clip, reads=method.reads)
    found = []
    torch._dynamo.reset()
    for loss in (method.loss, torch.compile(method.loss, fullgraph=True, backend="aot_eager")):
        method.zero_grad()
        value = loss(batch)
        if value.requires_grad:
            value.backward()
        found.append((value.detach(), {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}))
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "settings"), VARIANTS, ids=str)
@torch.no_grad()
def test_a_method_is_built_beside_a_backbone_elsewhere(name: str, settings: dict[str, Any]) -> None:
    """Parameters are drawn on the CPU, the same everywhere; nothing of theirs meets the backbone's before they move."""
    clip = random_clip()
    assert clip.scale > 0
    config = settings_classes()[name].model_validate(settings)
    method = build(name, method_context(config, small_bank(values=("street", "park")), clip.to("meta")))
    assert method.clip.device.type == "meta"
    assert all(p.device.type == "cpu" for p in method.parameters() if p.requires_grad)
