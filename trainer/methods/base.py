"""The base class of methods.

Shape letters: B images, M patches, C labels, D joint width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.config.sections import LossConfig
from trainer.config.space import LEARNING_RATE, Dimension, logarithmic
from trainer.data.batches import Batch
from trainer.errors import TrainerError
from trainer.heads.context import ContextConfig, ContextTerm, Knowledge
from trainer.heads.evidence import WHOLE_IMAGE, Evidence
from trainer.heads.losses import asymmetric_loss
from trainer.methods.federated import FederatedModule, ParameterGroup

TERM = "context_term."
"""Prefix of the names of the context term's parameters and buffers."""


@dataclass(frozen=True)
class MethodContext:
    """The constructor arguments of a method.

    Attributes:
        clip: the frozen backbone, shared by all clients.
        label_names: C names in the order of the label matrix.
        bank: the prompt bank, if the user gave one.
        settings: the method's section of the run's configuration.
        loss: the parameters of the asymmetric loss.
        generator: for the initialisation of parameters.
        seen: indices of the labels used in training; None for all.
        text_chunk: prompts encoded at once; None for all.
        knowledge: of conditions, for settings with `context`; None if they use none.
    """

    clip: FrozenClip
    label_names: tuple[str, ...]
    bank: Bank | None
    settings: Any
    loss: LossConfig
    generator: torch.Generator
    seen: tuple[int, ...] | None = None
    text_chunk: int | None = None
    knowledge: Knowledge | None = None


class Method(FederatedModule, ABC):
    """A method: its learnable parameters, its logits and its loss.

    Exactly the parameters with `requires_grad` are trained; `FederatedModule` defines which are exchanged. A method
    whose settings are a `ContextConfig` has a context term; if it overrides `exchanged_buffers` or `parameter_groups`,
    it must add those of `super()`.

    Raises:
        TrainerError: settings with a context but without knowledge, or a method that does not read features.
    """

    reads: str = "features"
    """The method's input: "features": the image path is frozen, so cached features suffice; "tokens@k": it is frozen up
    to block k of the image tower, so the input of block k is cached; "streams@k": the same with a local stream;
    "pixels": the whole tower runs in each step. Set in the constructor if it depends on the settings."""
    reads_attributes: ClassVar[bool] = False
    """Whether its prompts are made of the labels' attributes in the bank, which an exported model then holds."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        # Bypasses nn.Module's registration: the shared backbone is not part of the method's state.
        self.__dict__["clip"] = context.clip
        self.label_names = context.label_names
        self.loss_settings = context.loss
        self.seen = None if context.seen is None else torch.tensor(context.seen, device=context.clip.device)
        self.text_chunk = context.text_chunk
        self._fixed: Tensor | None = None
        self.context_term = self._context_term(context)

    clip: FrozenClip

    @classmethod
    def search_space(cls, settings: Any) -> dict[str, Dimension]:
        """What tuning varies, by dotted key: settings of the method, the optimiser, the loss and the aggregation.

        By default the learning rate alone. An override adds the method's own, of which the results depend most; a few,
        since all methods are given the same number of tries.

        Args:
            settings: the method's section of the configuration, for spaces that depend on it.
        """
        return {LEARNING_RATE: logarithmic(3e-4, 3e-2)}

    @abstractmethod
    def text_features(self) -> Tensor:
        """The text features (…, C, D), differentiable; the leading axes are the method's own."""

    @abstractmethod
    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """Logits (B, C) from a batch and the text features of C labels."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """A description for records and reports: title, number of trained parameters, prompts."""

    def title(self, name: str) -> str:
        """The name in tables, with a mark if there is a context term."""
        return name if self.context_term is None else f"{name}, context"

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C); sigmoid gives the probability."""
        return self.scored(batch, self.current_text())

    def scored(self, batch: Batch, text: Tensor, labels: Tensor | None = None) -> Tensor:
        """`logits` plus the context term, if there is one: (B, C).

        Args:
            batch: of images.
            text: of C labels.
            labels: (C,) their indices among all labels; None if they are all.
        """
        logits = self.logits(batch, text)
        return logits if self.context_term is None else logits + self.context_term(batch, logits, labels)

    @property
    def exchanged_buffers(self) -> tuple[str, ...]:
        """The context term's knowledge, so that a state is complete without the bank."""
        if self.context_term is None:
            return ()
        return tuple(f"{TERM}{name}" for name, _ in self.context_term.named_buffers())

    @property
    def fixed_buffers(self) -> tuple[str, ...]:
        """The context term's knowledge; its strength may be chosen or learned."""
        if self.context_term is None:
            return ()
        return tuple(f"{TERM}{name}" for name, _ in self.context_term.named_buffers() if name != "strength")

    def chosen_on_validation(self) -> dict[str, Tensor]:
        """The part of the exchanged state that is chosen on validation images after a round: copies on the CPU."""
        if self.context_term is None or not self.context_term.chosen:
            return {}
        return {f"{TERM}strength": self.context_term.strength.detach().cpu().clone()}

    def parameter_groups(self) -> list[ParameterGroup]:
        """The context term's strength, if it is learned."""
        if self.context_term is None or not self.context_term.strength.requires_grad:
            return []
        return [ParameterGroup(("context_term",), factor=self.context_term.settings.context_rate)]

    def _context_term(self, context: MethodContext) -> ContextTerm | None:
        settings = context.settings
        if not isinstance(settings, ContextConfig) or settings.context == "none":
            return None
        if settings.context == "auto" and context.knowledge is None:
            return None
        if self.reads != "features":
            raise TrainerError(f"{type(self).__name__} reads {self.reads}; method.context needs image features")
        if context.knowledge is None:
            raise TrainerError(f"method.context={settings.context} needs knowledge of conditions, but none was given")
        return ContextTerm(settings, self.clip.scale, context.knowledge)

    def current_text(self) -> Tensor:
        """The text features: those fixed by `evaluating`, otherwise newly computed."""
        return self.text_features() if self._fixed is None else self._fixed

    def diagnose(self, batch: Batch) -> dict[str, float]:
        """Diagnostics of the method's computations on a batch, for the run's metrics; empty by default."""
        return {}

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor | float:
        """An additional loss term, added without a weight; zero by default.

        Multiply by `loss_settings.weight` if the method's paper weights the term together with the asymmetric loss.

        Args:
            batch: restricted to the seen labels.
            text: the text features of the seen labels.
            logits: (B, C) of the seen labels.
        """
        return 0.0

    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch. Unseen labels are excluded, also from the matching."""
        text = self.text_features()
        if self.seen is not None:
            text = text.index_select(-2, self.seen)
            batch = batch._replace(labels=batch.labels.index_select(-1, self.seen))
        return self.objective(batch, text)

    def objective(self, batch: Batch, text: Tensor) -> Tensor:
        """The weighted asymmetric loss plus `extra_loss`; override it for a method with a loss of its own.

        Args:
            batch: restricted to the seen labels.
            text: the text features of the seen labels.
        """
        s = self.loss_settings
        learned = self.context_term is not None and self.context_term.settings.context_learned
        logits = self.scored(batch, text, self.seen) if learned else self.logits(batch, text)
        value = asymmetric_loss(
            logits,
            batch.labels,
            gamma_negative=s.gamma_negative,
            gamma_positive=s.gamma_positive,
            clip=s.clip,
        )
        return s.weight * value + self.extra_loss(batch, text, logits)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """The explanation of `logits`; by default that of a method without patch weights and conditions."""
        return Evidence(None, WHOLE_IMAGE, None, None, None)

    @contextmanager
    def evaluating(self, text: Tensor | None = None) -> Iterator[None]:
        """Evaluation mode without gradients; the text features are given, or computed once for all batches."""
        training = self.training
        self.eval()
        with torch.no_grad():
            self._fixed = self.text_features() if text is None else text
            try:
                yield
            finally:
                self._fixed = None
                self.train(training)


def extract_knowledge(state: Mapping[str, Tensor]) -> Knowledge | None:
    """The knowledge in a method's state; None if it has no context term."""
    found = {name.removeprefix(TERM): value for name, value in state.items() if name.startswith(TERM)}
    return {name: value for name, value in found.items() if name != "strength"} or None


def start_from(values: Tensor) -> nn.Parameter:
    """Learnable numbers that start from frozen ones; on the CPU, as all parameters. Zeros if those have no data."""
    return nn.Parameter(torch.zeros(values.shape) if values.is_meta else values.detach().cpu().clone())


def normal(shape: tuple[int, ...], generator: torch.Generator) -> nn.Parameter:
    """Learnable token vectors, initialised from N(0, 0.02²) as in CoOp and its successors."""
    return nn.Parameter(0.02 * torch.randn(shape, generator=generator))
