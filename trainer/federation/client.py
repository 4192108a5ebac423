"""A client's local training in a round: from the server's state to its reply. Every engine trains its clients here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainer.config.sections import ComputeConfig, FederationConfig, OptimiserConfig
from trainer.data.batches import Batch, BatchSource
from trainer.errors import RunFailed, TrainerError
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext, learning_rate
from trainer.methods.base import Method
from trainer.seeding import derive, numpy_generator, seeded

COMPILE_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 1e-2}
"""Largest relative difference between the compiled loss or a gradient and the uncompiled one, by precision. On
scenes-tiny inductor came to 3e-6 in fp32 and aot_eager to 4e-3 in bf16, with each matching."""


@dataclass(frozen=True)
class ClientTrainer:
    """Trains one client at a time on the images it owns.

    Attributes:
        method: the one instance that each client's state is loaded into in turn.
        images: of the training split.
        federation, optimiser, compute: the settings.
        seed: orders a client's images.
    """

    method: Method
    images: BatchSource
    federation: FederationConfig
    optimiser: OptimiserConfig
    seed: int
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def train(self, client: int, owned: np.ndarray, state: State, context: RoundContext) -> Reply:
        """Local epochs over the client's own images, from the server's state.

        Args:
            client: its id.
            owned: indices of its images.
            state: the server's.
            context: which round.

        Raises:
            RunFailed: where a loss or a gradient is not finite; says client, round and batch. Nothing is updated then.
        """
        self.method.receive(state)
        self.method.train()
        where = f"client {client}, round {context.round}"
        steps = _Steps(self, learning_rate(self.optimiser, context), where)
        with seeded(derive(self.seed, "training", context.round, client), self.method.clip.device):
            for epoch in range(self.federation.local_epochs):
                generator = numpy_generator(self.seed, "batches", context.round, client, epoch)
                steps.epoch(generator.permutation(owned))
        losses = steps.losses
        return Reply(client, self.method.exchanged(), len(owned), sum(losses) / max(1, len(losses)))

    @cached_property
    def loss(self) -> Callable[[Batch], Tensor]:
        """The method's loss, compiled where the settings ask for it."""
        if self.compute.compile == "off":
            return self.method.loss
        compiled: Callable[[Batch], Tensor] = torch.compile(self.method.loss, backend=self.compute.compile)
        return compiled

    def batch(self, indices: np.ndarray) -> Batch:
        """Images of the training split, on the method's device."""
        return self.images.batch(indices).to(self.method.clip.device)


class _Steps:
    """A client's optimiser and its steps; it lives for one round."""

    def __init__(self, trainer: ClientTrainer, rate: float, where: str) -> None:
        self.trainer, self.where = trainer, where
        self.parameters = [p for p in trainer.method.parameters() if p.requires_grad]
        self.optimiser = make_optimiser(trainer.method, trainer.optimiser, rate)
        device = trainer.method.clip.device.type
        self.scaler = torch.amp.GradScaler(device, enabled=trainer.compute.precision == "fp16")
        self.losses: list[float] = []

    def epoch(self, order: np.ndarray) -> None:
        """All batches of an order of images; an update after every `accumulation` of them, and after the last."""
        settings = self.trainer.optimiser
        size, group = settings.batch_size, settings.batch_size * settings.accumulation
        for first in range(0, len(order), group):
            self.optimiser.zero_grad()
            for start in range(first, min(first + group, len(order)), size):
                self._add(order[start : start + size])
            self._update()

    def _add(self, indices: np.ndarray) -> None:
        """Add the gradient of a batch."""
        loss = self.trainer.loss(self.trainer.batch(indices))
        self.losses.append(float(loss.detach()))
        if not np.isfinite(self.losses[-1]):
            self._stop(f"the loss is {self.losses[-1]}")
        self.scaler.scale(loss).backward()

    def _update(self) -> None:
        """One step; fp16's scaler leaves it out where its scale was too large, and takes a smaller one."""
        self.scaler.unscale_(self.optimiser)
        longest = self.trainer.optimiser.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, torch.inf if longest is None else longest)
        if not self.scaler.is_enabled() and not bool(torch.isfinite(norm)):
            self._stop(f"the gradient's norm is {float(norm)}")
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _stop(self, what: str) -> None:
        raise RunFailed(
            f"{what} at {self.where}, batch {len(self.losses) - 1}: "
            "lower optimiser.learning_rate, or look at that client's images"
        )


def make_optimiser(method: Method, settings: OptimiserConfig, rate: float) -> torch.optim.Optimizer:
    """A fresh optimiser over the exchanged parameters."""
    parameters = [p for p in method.parameters() if p.requires_grad]
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, lr=rate, momentum=settings.momentum, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(parameters, lr=rate, betas=(settings.momentum, 0.999), weight_decay=settings.weight_decay)


def check_compiled(trainer: ClientTrainer, owned: np.ndarray) -> None:
    """Compare the compiled loss and its gradients with the uncompiled ones, on a client's first batch.

    Raises:
        TrainerError: where it does not compile here, or differs.
    """
    if trainer.compute.compile == "off":
        return
    method = trainer.method.eval()
    batch = trainer.batch(owned[: trainer.optimiser.batch_size])
    expected = _loss_and_gradients(method, method.loss, batch)
    try:
        found = _loss_and_gradients(method, trainer.loss, batch)
    except Exception as error:  # torch raises what its backend raises
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainerError(
            f"compute.compile={trainer.compute.compile} does not work here ({first}); use off"
        ) from error
    for name, value in expected.items():
        apart = float((found[name] - value).abs().max() / value.abs().max().clamp_min(1e-6))
        if not apart <= COMPILE_TOLERANCE[trainer.compute.precision]:
            raise TrainerError(f"compiled and uncompiled {name} are {apart:.1e} apart: use compute.compile=off")


def _loss_and_gradients(method: Method, loss: Callable[[Batch], Tensor], batch: Batch) -> dict[str, Tensor]:
    method.zero_grad()
    value = loss(batch)
    value.backward()
    gradients = {f"gradients of {name}": p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    method.zero_grad()
    return {"losses": value.detach(), **gradients}
