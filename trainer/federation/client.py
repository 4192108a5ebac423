"""A client's local training in a round, from the server's state to the client's reply; used by every engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from trainer.config.sections import ComputeConfig, FederationConfig, OptimiserConfig
from trainer.config.settings import settled
from trainer.data.batches import Batch, BatchSource
from trainer.errors import RunFailed, TrainerError
from trainer.federation.memory import ClientMemory, ClientState, stateful_clients
from trainer.federation.optimiser import make_optimiser, optimiser_state, restore_optimiser
from trainer.federation.privacy import private_state
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext
from trainer.methods.base import Method
from trainer.seeding import derive, numpy_generator, seeded

COMPILE_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 1e-2}
"""Largest accepted relative difference between compiled and uncompiled losses or gradients, by precision. Measured on
scenes-tiny, for every matching: at most 3e-6 (inductor, fp32) and 4e-3 (aot_eager, bf16)."""

SCALER_KEYS = ("scale", "_growth_tracker")
"""The entries of a GradScaler's state that change during training."""


@dataclass(frozen=True)
class ClientTrainer:
    """Trains clients one at a time, each on its own images.

    Attributes:
        method: the instance into which each client's state is loaded.
        images: the training split.
        federation, optimiser, compute: the settings.
        seed: for the order of a client's images.
        memory: required for stateful clients, see `stateful_clients`.

    Raises:
        ValueError: clients are stateful and `memory` is None.
    """

    method: Method
    images: BatchSource
    federation: FederationConfig
    optimiser: OptimiserConfig
    seed: int
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    memory: ClientMemory | None = None

    def __post_init__(self) -> None:
        if self.memory is None and stateful_clients(self.federation, self.method):
            raise ValueError("clients keep their optimiser or parts of the method: give a ClientMemory")

    def train(self, client: int, owned: np.ndarray, state: State, context: RoundContext) -> Reply:
        """Run local epochs over the client's images, starting from the server's state.

        Args:
            client: its id.
            owned: indices of its images.
            state: the server's state.
            context: the round.

        Raises:
            RunFailed: a loss or a gradient is not finite; names client, round and batch. Parameters are not updated.
            TrainerError: the client's saved state is unreadable, or of another method or optimiser; see also
                `private_state`.
        """
        training = self._start(client, state, context)
        with seeded(derive(self.seed, "training", context.round, client), self.method.clip.device):
            for epoch in range(self.federation.local_epochs):
                generator = numpy_generator(self.seed, "batches", context.round, client, epoch)
                training.epoch(generator.permutation(owned))
        if self.memory:
            kept = training.optimiser_state() if self.federation.memory == "optimiser" else {}
            self.memory.save(client, context.round + 1, ClientState(self.method.personal_parts(), kept))
        losses = training.losses
        if self.federation.privacy.on:
            buffers = {name for name, _ in self.method.named_buffers()}
            sent = private_state(self.method.exchanged(), state, buffers, self.federation.privacy)
            return Reply(client, sent, len(owned), None)
        return Reply(client, self.method.exchanged(), len(owned), sum(losses) / max(1, len(losses)))

    def _start(self, client: int, state: State, context: RoundContext) -> _LocalTraining:
        """Load the server's state and the client's saved state."""
        where = f"client {client}, round {context.round}"
        saved = (self.memory.load(client) if self.memory else None) or ClientState(self.method.personal_start)
        try:
            self.method.receive(state, saved.personal)
            self.method.train()
            training = _LocalTraining(self, context, where)
            training.restore_optimiser(saved.optimiser)
        except ValueError as error:
            raise TrainerError(
                f"{where}: the server's or the client's saved state does not fit this method or optimiser ({error})"
            ) from error
        return training

    @cached_property
    def loss(self) -> Callable[[Batch], Tensor]:
        """The method's loss, compiled as set by `compute.compile`."""
        if self.compute.compile == "off":
            return self.method.loss
        options = (
            {"mode": "reduce-overhead"} if self.compute.compile == "cuda-graphs" else {"backend": self.compute.compile}
        )
        compiled: Callable[[Batch], Tensor] = torch.compile(self.method.loss, fullgraph=True, **options)
        return compiled

    def batch(self, indices: np.ndarray) -> Batch:
        """A batch of training images on the method's device."""
        return self.images.batch(indices).to(self.method.clip.device)


class _LocalTraining:
    """A client's optimiser and training steps in one round."""

    def __init__(self, trainer: ClientTrainer, context: RoundContext, where: str) -> None:
        self.trainer, self.where = trainer, where
        self.parameters = [p for p in trainer.method.parameters() if p.requires_grad]
        self.optimiser = make_optimiser(trainer.method, trainer.optimiser, context)
        device = trainer.method.clip.device.type
        self.scaler = torch.amp.GradScaler(device, enabled=trainer.compute.precision == "fp16")
        self.losses: list[float] = []
        self.pending_losses: list[Tensor] = []

    def optimiser_state(self) -> State:
        """The state of the optimiser and of the fp16 gradient scaler."""
        scaler = self.scaler.state_dict()
        numbers = {key: torch.tensor(scaler[key], dtype=torch.float64) for key in SCALER_KEYS if key in scaler}
        return {**optimiser_state(self.optimiser, self.trainer.method), **numbers}

    def restore_optimiser(self, saved: State) -> None:
        """Load a state that `optimiser_state` returned; an empty one leaves optimiser and scaler as new.

        Raises:
            ValueError: a state of other parameters.
        """
        scaler = self.scaler.state_dict()
        numbers = {key: type(scaler[key])(saved[key].item()) for key in SCALER_KEYS if key in scaler and key in saved}
        if numbers:
            self.scaler.load_state_dict({**scaler, **numbers})
        tensors = {name: value for name, value in saved.items() if name not in SCALER_KEYS}
        restore_optimiser(self.optimiser, self.trainer.method, tensors)

    def epoch(self, order: np.ndarray) -> None:
        """Train on the images in this order, with an update after every `accumulation` batches and after the last."""
        settings = self.trainer.optimiser
        size = settled(settings.batch_size, "optimiser.batch_size")
        group = size * settings.accumulation
        for first in range(0, len(order), group):
            self.optimiser.zero_grad()
            for start in range(first, min(first + group, len(order)), size):
                self._add(order[start : start + size])
            self._update()

    def _add(self, indices: np.ndarray) -> None:
        """Accumulate the gradient of a batch."""
        loss = self.trainer.loss(self.trainer.batch(indices))
        self.scaler.scale(loss).backward()
        # Cloned, since a CUDA graph reuses the memory for the next loss.
        self.pending_losses.append(loss.detach().clone())

    def _update(self) -> None:
        """Take an optimiser step; the fp16 scaler skips it if gradients overflowed, and lowers its scale."""
        self.scaler.unscale_(self.optimiser)
        max_norm = self.trainer.optimiser.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, torch.inf if max_norm is None else max_norm)
        # The only synchronisation with the device in an update.
        *losses, gradient_norm = torch.stack([*self.pending_losses, norm]).tolist()
        self.pending_losses.clear()
        for loss in losses:
            self.losses.append(loss)
            if not math.isfinite(loss):
                self._stop(f"the loss is {loss}")
        if not self.scaler.is_enabled() and not math.isfinite(gradient_norm):
            self._stop(f"the gradient's norm is {gradient_norm}")
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def _stop(self, what: str) -> None:
        raise RunFailed(
            f"{what} at {self.where}, batch {len(self.losses) - 1}: "
            "lower optimiser.learning_rate, or look at that client's images"
        )


def check_compiled(trainer: ClientTrainer, owned: np.ndarray) -> None:
    """Compare the compiled loss and its gradients with the uncompiled ones on a client's first batch.

    Raises:
        TrainerError: the loss cannot be compiled on this machine, or the results differ.
    """
    if trainer.compute.compile == "off":
        return
    method = trainer.method.eval()
    batch = trainer.batch(owned[: settled(trainer.optimiser.batch_size, "optimiser.batch_size")])
    expected = _loss_and_gradients(method, method.loss, batch)
    try:
        found = _loss_and_gradients(method, trainer.loss, batch)
    except Exception as error:  # a compiler backend can raise anything
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainerError(
            f"compute.compile={trainer.compute.compile} does not work here ({first}); use off"
        ) from error
    for name, value in expected.items():
        difference = float((found[name] - value).abs().max() / value.abs().max().clamp_min(1e-6))
        if not difference <= COMPILE_TOLERANCE[trainer.compute.precision]:
            raise TrainerError(f"compiled and uncompiled {name} are {difference:.1e} apart: use compute.compile=off")


def _loss_and_gradients(method: Method, loss: Callable[[Batch], Tensor], batch: Batch) -> dict[str, Tensor]:
    method.zero_grad()
    value = loss(batch)
    value.backward()
    gradients = {f"gradients of {name}": p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    method.zero_grad()
    return {"losses": value.detach(), **gradients}
