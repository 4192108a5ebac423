"""Rounds of a client that keeps its optimiser are the published programs' steps, whose momentum outlives rounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainer.methods.published_tensors import Published
from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.config.settings import Settings
from trainer.data.batches import Batch
from trainer.federation.client import ClientTrainer
from trainer.federation.memory import ClientMemory
from trainer.federation.rounds import RoundContext
from trainer.methods.dualcoop import DualCoOpConfig
from trainer.methods.fedawa import FedAwaConfig
from trainer.methods.fedpgp import FedPgpConfig
from trainer.methods.tcp import TcpConfig

SGD = OptimiserConfig(
    name="sgd", learning_rate=0.001, momentum=0.9, weight_decay=1e-5, schedule="constant", batch_size=4
)
PUBLISHED: dict[str, tuple[type[Settings], dict[str, str], dict[str, str]]] = {
    "dualcoop": (DualCoOpConfig, {"context_tokens": "n_ctx"}, {"ctx_pos": "positive", "ctx_neg": "negative"}),
    "fedpgp": (FedPgpConfig, {"context_tokens": "n_ctx"}, {"U": "left", "V": "right", "sigma": "shared"}),
    "fedawa": (FedAwaConfig, {"context_tokens": "n_ctx"}, {"ctx": "context"}),
    "tcp_nctx4": (
        TcpConfig,
        {"context_tokens": "n_ctx", "layer": "inject_layer"},
        {
            "ctx": "context",
            "meta_net.linear1.weight": "class_network.0.weight",
            "meta_net.linear1.bias": "class_network.0.bias",
            "meta_net.linear2.weight": "class_network.2.weight",
            "meta_net.linear2.bias": "class_network.2.bias",
        },
    ),
}
"""For each fixture the settings, their names in its hyper-parameters, and its parameters' names and ours."""


class OneBatch:
    """The fixture's images as a client's."""

    def __init__(self, batch: Batch) -> None:
        self.all = batch
        self.ids = tuple(str(index) for index in range(len(batch.labels)))

    @property
    def labels(self) -> np.ndarray:
        return self.all.labels.numpy().astype(np.int8)

    def batch(self, indices: np.ndarray | list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        return Batch(*(part[rows] if isinstance(part, Tensor) else None for part in self.all))  # type: ignore[arg-type]

    def batches(self, size: int) -> Iterator[Batch]:
        yield self.all


@pytest.mark.parametrize("fixture", PUBLISHED)
def test_three_rounds_of_one_batch_are_three_steps(fixture: str, tmp_path: Path) -> None:
    settings, hyper, names = PUBLISHED[fixture]

    def configured(given: dict[str, Any]) -> Settings:
        released = {"variant": "released"} if "variant" in settings.model_fields else {}
        return settings.model_validate({**released, **{own: given[theirs] for own, theirs in hyper.items()}})

    published = Published(fixture, configured, names)
    memory, method = ClientMemory(tmp_path), published.method
    federation = FederationConfig(memory="optimiser")
    trainer = ClientTrainer(method, OneBatch(published.batch()), federation, SGD, 0, memory=memory)
    state, losses = method.exchanged(), []
    for number in range(3):
        reply = trainer.train(0, np.arange(4), state, RoundContext(number, 3))
        memory.commit(number + 1, [0])
        state = reply.state
        losses.append(reply.loss)
    expected = published.tensors["traj.losses"][:3]
    torch.testing.assert_close(torch.tensor(losses), expected, atol=0, rtol=1e-3)
    for theirs, own in names.items():
        if (after := published.tensors.get(f"traj.{theirs}")) is not None:
            assert float((state[own] - after).abs().max()) <= 1e-3 * float(after.abs().max()), own
