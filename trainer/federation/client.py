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
from trainer.federation.memory import ClientMemory, Memory, remembers
from trainer.federation.optimiser import kept_state, make_optimiser, restore_state
from trainer.federation.replies import Reply, State
from trainer.federation.rounds import RoundContext
from trainer.methods.base import Method
from trainer.seeding import derive, numpy_generator, seeded

COMPILE_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2, "fp16": 1e-2}
"""Largest relative difference between the compiled loss or a gradient and the uncompiled one, by precision. On
scenes-tiny inductor came to 3e-6 in fp32 and aot_eager to 4e-3 in bf16, with each matching."""

SCALER_KEYS = ("scale", "_growth_tracker")
"""Of the state of torch's gradient scaler, what changes by its steps."""


@dataclass(frozen=True)
class ClientTrainer:
    """Trains one client at a time on the images it owns.

    Attributes:
        method: the one instance that each client's state is loaded into in turn.
        images: of the training split.
        federation, optimiser, compute: the settings.
        seed: orders a client's images.
        memory: what clients keep from round to round; needed where the settings or the method say that they do.

    Raises:
        ValueError: it is needed and not there.
    """

    method: Method
    images: BatchSource
    federation: FederationConfig
    optimiser: OptimiserConfig
    seed: int
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    memory: ClientMemory | None = None

    def __post_init__(self) -> None:
        if self.memory is None and remembers(self.federation, self.method):
            raise ValueError("clients keep their optimiser or parts of the method: give a ClientMemory")

    def train(self, client: int, owned: np.ndarray, state: State, context: RoundContext) -> Reply:
        """Local epochs over the client's own images, from the server's state.

        Args:
            client: its id.
            owned: indices of its images.
            state: the server's.
            context: which round.

        Raises:
            RunFailed: where a loss or a gradient is not finite; says client, round and batch. Nothing is updated then.
            TrainerError: where what the client kept cannot be read, or is of another method or optimiser.
        """
        steps = self._begin(client, state, context)
        with seeded(derive(self.seed, "training", context.round, client), self.method.clip.device):
            for epoch in range(self.federation.local_epochs):
                generator = numpy_generator(self.seed, "batches", context.round, client, epoch)
                steps.epoch(generator.permutation(owned))
        if self.memory:
            kept = steps.kept() if self.federation.memory == "optimiser" else {}
            self.memory.save(client, context.round + 1, Memory(self.method.personal_parts(), kept))
        losses = steps.losses
        return Reply(client, self.method.exchanged(), len(owned), sum(losses) / max(1, len(losses)))

    def _begin(self, client: int, state: State, context: RoundContext) -> _Steps:
        """Load the server's state and what the client kept."""
        where = f"client {client}, round {context.round}"
        past = (self.memory.load(client) if self.memory else None) or Memory(self.method.personal_start)
        try:
            self.method.receive(state, past.personal)
            self.method.train()
            steps = _Steps(self, context, where)
            steps.go_on_from(past.optimiser)
        except ValueError as error:
            raise TrainerError(
                f"{where}: server's state or what the client kept is of something else ({error})"
            ) from error
        return steps

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
    """A client's optimiser and its steps in one round."""

    def __init__(self, trainer: ClientTrainer, context: RoundContext, where: str) -> None:
        self.trainer, self.where = trainer, where
        self.parameters = [p for p in trainer.method.parameters() if p.requires_grad]
        self.optimiser = make_optimiser(trainer.method, trainer.optimiser, context)
        device = trainer.method.clip.device.type
        self.scaler = torch.amp.GradScaler(device, enabled=trainer.compute.precision == "fp16")
        self.losses: list[float] = []

    def kept(self) -> State:
        """What the optimiser, and fp16's scaler, have learned from their steps."""
        scaler = self.scaler.state_dict()
        numbers = {key: torch.tensor(scaler[key], dtype=torch.float64) for key in SCALER_KEYS if key in scaler}
        return {**kept_state(self.optimiser, self.trainer.method), **numbers}

    def go_on_from(self, kept: State) -> None:
        """Let optimiser and scaler go on from what `kept` gave; from nothing they begin anew.

        Raises:
            ValueError: it is of other parameters.
        """
        scaler = self.scaler.state_dict()
        numbers = {key: type(scaler[key])(kept[key].item()) for key in SCALER_KEYS if key in scaler and key in kept}
        if numbers:
            self.scaler.load_state_dict({**scaler, **numbers})
        tensors = {name: value for name, value in kept.items() if name not in SCALER_KEYS}
        restore_state(self.optimiser, self.trainer.method, tensors)

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
