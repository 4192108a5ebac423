"""Comparison of a method with the tensors that its published program computed (the fixtures' README has tolerances)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.shared import shared
from tests.trainer.tiny import PREPROCESS, fixture_clip, method_context
from trainer.backbone.clip import FrozenClip
from trainer.config.settings import Settings
from trainer.data.batches import Batch
from trainer.data.encoding import Encoding, batch_of_pixels
from trainer.methods.base import Method
from trainer.methods.registry import build

Optimiser = Callable[[Method], torch.optim.Optimizer]


@cache
def vit_b16() -> FrozenClip:
    """ViT-B/16 without weights, enough to build a method on and to count what it trains."""
    name = "ViT-B-16-quickgelu"
    with torch.device("meta"):
        model = open_clip.model.CLIP(**open_clip.get_model_config(name))
    return FrozenClip(model, open_clip.SimpleTokenizer(), PREPROCESS, name)


def trained_on_vit_b16(settings: Settings) -> int:
    """The number of trained parameters with ViT-B/16 and 20 labels, as in BASELINES.md's table."""
    labels = tuple(f"thing {index}" for index in range(20))
    return build(str(settings.name), method_context(settings, clip=vit_b16(), labels=labels)).trainable()  # type: ignore[attr-defined]


def published_sgd(method: Method) -> torch.optim.Optimizer:
    """The optimiser of all published programs but RAM."""
    trained = [p for p in method.parameters() if p.requires_grad]
    return torch.optim.SGD(trained, lr=0.001, momentum=0.9, weight_decay=1e-5)


class Published:
    """A fixture, and the method on the fixture's CLIP with the fixture's parameters.

    Args:
        fixture: its name.
        settings: makes the method's settings from the fixture's hyper-parameters.
        names: the published parameters' names, and ours.
        buffers: the published buffers' names, and ours.
    """

    def __init__(
        self,
        fixture: str,
        settings: Callable[[dict[str, Any]], Settings],
        names: Mapping[str, str],
        buffers: Mapping[str, str] | None = None,
    ) -> None:
        described = json.loads(shared(f"fixtures/{fixture}.json").read_text())
        self.tensors: dict[str, Tensor] = load_file(shared(f"fixtures/{fixture}.safetensors"))
        self.names = dict(names)
        assert {f"params.{theirs}" for theirs in names} == {key for key in self.tensors if key.startswith("params.")}
        self.method = self._method(settings(described["hyper"]), tuple(described["classes"]))
        self.method.receive(
            {
                **self.method.exchanged(),
                **{own: self.tensors[f"params.{theirs}"] for theirs, own in names.items()},
                **{own: self.tensors[f"buffers.{theirs}"] for theirs, own in (buffers or {}).items()},
            }
        )
        assert set(names.values()) == {name for name, p in self.method.named_parameters() if p.requires_grad}

    def batch(self) -> Batch:
        """The fixture's images as the method's input."""
        encoding = Encoding.of(self.method.clip, self.method.reads)
        pixels, labels = self.tensors["inputs.images"], self.tensors["inputs.labels"]
        return batch_of_pixels(self.method.reads, encoding, pixels, labels)

    def check(self, optimiser: Optimiser = published_sgd, loss_rtol: float = 1e-5) -> None:
        """Loss, gradients, and a trajectory of three steps on the same batch."""
        batch, tensors = self.batch(), self.tensors
        self.check_gradients("outputs.loss", "grads", loss_rtol)
        losses, steps = [], optimiser(self.method)
        for _ in range(3):
            steps.zero_grad()
            value = self.method.loss(batch)
            losses.append(value.detach())
            value.backward()
            steps.step()
        losses.append(self.method.loss(batch).detach())
        torch.testing.assert_close(torch.stack(losses), tensors["traj.losses"], atol=0, rtol=1e-3)
        for theirs, own in self.names.items():
            if f"traj.{theirs}" in tensors:
                self._close(self.method.get_parameter(own).detach(), tensors[f"traj.{theirs}"], own)

    def check_gradients(self, loss: str, gradients: str, loss_rtol: float) -> None:
        """Loss and gradients of one step."""
        self.method.zero_grad()
        value = self.method.loss(self.batch())
        torch.testing.assert_close(value.detach()[None], self.tensors[loss], atol=0, rtol=loss_rtol)
        value.backward()
        for theirs, own in self.names.items():
            found = self.method.get_parameter(own).grad
            assert found is not None, own
            self._close(found, self.tensors[f"{gradients}.{theirs}"], own)
        self.method.zero_grad()

    @staticmethod
    def _close(found: Tensor, expected: Tensor, name: str) -> None:
        difference = float((found - expected).abs().max())
        assert difference <= 1e-3 * float(expected.abs().max()), f"{name}: {difference}"

    @staticmethod
    def _method(settings: Settings, labels: tuple[str, ...]) -> Method:
        name = str(settings.name)  # type: ignore[attr-defined]
        return build(name, method_context(settings, clip=fixture_clip(), labels=labels)).eval()
